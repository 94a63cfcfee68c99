"""A retraining beside which another is begun, and whose newest checkpoint is torn as it is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from autogan_ray.results.retrained import NETWORK_IDS
from autogan_ray.results.trial_log import TrialLogs
from tests.tune.conftest import command, run

pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.timeout(600)]

RETRAINING = ["retrain", "smoke", "--set", "retrain.evaluations=6", "--set", "retrain.kimg=0.6"]


def test_a_second_retraining_is_refused_and_a_torn_checkpoint_costs_no_more_than_the_way_from_the_one_before(
    smoke: Path, tmp_path: Path
) -> None:
    whole, killed = (tmp_path / name for name in ("whole", "killed"))
    for place in (whole, killed):
        shutil.copytree(smoke, place / "smoke")
    run(*RETRAINING, cwd=whole)
    process = subprocess.Popen(
        command(*RETRAINING), cwd=killed, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ
    )
    second = None
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if second is None and " of 0.6 kimg: " in line:
                process.send_signal(signal.SIGSTOP)  # or it might end before the other has begun
                second = run(*RETRAINING, "--resume", cwd=killed, check=False)
                process.send_signal(signal.SIGCONT)
            if ", 0.4 of 0.6 kimg" in line:
                process.kill()
    assert second is not None and second.returncode == 2, second
    assert f"process {process.pid} on host" in second.stderr
    (log,) = TrialLogs(killed / "smoke" / "retrain", NETWORK_IDS)
    newest = killed / "smoke" / "retrain" / log.status["checkpoint_path"] / "state.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    told = run(*RETRAINING, "--resume", cwd=killed).stdout
    assert f"{newest.parent.name}/state.pt' is torn or altered" in told
    assert "taking an older checkpoint, or beginning anew" in told
    (text,) = (killed / "smoke" / "retrain" / "trials").glob("*.log")
    assert "goes on from the checkpoint of evaluation" in text.read_text()
    for table, columns in (
        ("evaluations", ["fid", "kid_mean", "is_mean", "precision", "recall", "kimg"]),
        ("curves", ["evaluation_id", "kimg", "fid", "loss_g", "loss_d"]),
    ):
        rows = [pd.read_parquet(place / "smoke" / f"{table}.parquet")[columns] for place in (whole, killed)]
        pd.testing.assert_frame_equal(*rows, check_exact=True)
