"""Signals that end a study or a retraining, to the command alone and to all of its processes, and what goes on then."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from tests.sessions import left_in, started_by

from .conftest import command, run
from .test_study import history

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

SECONDS = 15.0
"""In which a command ends, on a busy machine too."""

STUDY = ["run", "smoke", "--trials", "3", "--set", "tune.max_concurrent=1", "--resume"]


def signalled(
    arguments: list[str],
    ready: Callable[[int], bool],
    send: Callable[[int, int], None],
    signum: int,
    cwd: Path,
) -> str:
    """Sends a signal to a command once it is ready, and returns its output; it must leave no process behind."""
    log = cwd / "log.txt"
    with log.open("w") as out:
        process = subprocess.Popen(
            command(*arguments), cwd=cwd, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    while not ready(process.pid):
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)
    start = time.monotonic()
    send(process.pid, signum)
    code = process.wait(timeout=60)
    took = time.monotonic() - start
    assert code == 130 and took < SECONDS, (code, took, log.read_text())
    assert left_in(process.pid) == []
    return log.read_text()


def logged(cwd: Path, words: str) -> Callable[[int], bool]:
    log = cwd / "log.txt"
    return lambda _: words in log.read_text()


def ray_starts(process: int) -> bool:
    return any("gcs_server" in name for _, name in started_by(process))


def test_a_study_that_schedulers_end_goes_on_to_the_same_history(smoke: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "smoke"
    out = signalled(STUDY, ray_starts, os.killpg, signal.SIGTERM, tmp_path)
    assert "interrupted: nothing is begun yet; begin with\n  " in out and not folder.exists()
    for words, send, signum in (
        ("t0000 evaluation 1", os.killpg, signal.SIGTERM),
        ("t0001 evaluation 1", os.killpg, signal.SIGHUP),
        ("t0002 evaluation 1", os.kill, signal.SIGTERM),
    ):
        out = signalled(STUDY, logged(tmp_path, words), send, signum, tmp_path)
        assert "go on with\n  " in out and "run smoke --trials 3" in out and "Traceback" not in out
        trials, studies = (pd.read_parquet(folder / f"{name}.parquet") for name in ("trials", "studies"))
        assert set(trials["status"]) <= {"complete", "pruned", "interrupted"}  # what had ended has ended
        assert studies["status"].tolist() == ["interrupted"]
    run(*STUDY, cwd=tmp_path)
    pd.testing.assert_frame_equal(history(smoke), history(folder), check_exact=True)
    ended = [pd.read_parquet(one / "trials.parquet")["status"].tolist() for one in (smoke, folder)]
    assert ended[0] == ended[1]


def test_rays_processes_are_in_a_group_of_their_own_and_in_the_commands_session(tmp_path: Path) -> None:
    """Ray ends a process, with exit code 1, whose raylet a signal to their common group has ended first."""
    groups: dict[str, int] = {}

    def looked(process: int) -> bool:
        for child, line in started_by(process):
            with contextlib.suppress(OSError):
                groups[Path(line.split()[0]).name] = os.getpgid(child.pid)
        return "raylet" in groups and "t0000 evaluation 1" in (tmp_path / "log.txt").read_text()

    started: list[int] = []

    def send(group: int, signum: int) -> None:
        started.append(group)
        os.killpg(group, signum)

    signalled(STUDY, looked, send, signal.SIGTERM, tmp_path)
    assert started[0] not in groups.values()


CLUSTER = """
import os, sys
from autogan_ray.tune.cluster import ENVIRONMENT
os.environ.update(ENVIRONMENT)
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=2, include_dashboard=False))
print("address", cluster.address, flush=True)
sys.stdin.readline()
cluster.shutdown()
"""


def test_a_joined_cluster_outlives_a_study_that_is_ended_and_runs_no_trial_of_it(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([command()[0], "-c", CLUSTER], stdin=pipe, stdout=pipe, text=True) as head:
        assert head.stdout is not None and head.stdin is not None
        address = next(line for line in head.stdout if line.startswith("address ")).split()[1]
        study = ["run", "smoke", "--trials", "3", "--address", address]
        out = signalled(study, logged(tmp_path, "t0000 evaluation 1"), os.killpg, signal.SIGTERM, tmp_path)
        assert "SIGTERM received" not in out and "run smoke --trials 3" in out and "--resume" in out
        studies = pd.read_parquet(tmp_path / "results" / "smoke" / "studies.parquet")
        assert studies["status"].tolist() == ["interrupted"]
        names = ["ray::smoke trial"]
        while any("smoke trial" in name for name in names):  # Ray ends them as soon as it sees that the driver is gone
            names = [name for _, name in started_by(head.pid)]
        assert any("raylet" in name for name in names)
        head.stdin.write("\n")


# A step takes milliseconds, and an evaluation more; each evaluation leaves a checkpoint.
RETRAINING = [
    *("retrain", "compare", "--study", "smoke", "--set", "data.limit=100", "--genotype", "autogan-a"),
    *("--set", "data.image_size=32", "--set", "retrain.kimg=0.8", "--set", "retrain.latent_dim=12"),
    *("--set", "retrain.channels_g=4", "--set", "retrain.channels_d=4", "--set", "retrain.evaluations=5"),
]


@pytest.mark.timeout(600)
def test_a_retraining_that_is_ended_goes_on_to_the_same_networks(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    run(*RETRAINING, "--seeds", "2", cwd=tmp_path / "whole")
    here = tmp_path / "interrupted"
    here.mkdir()

    def checkpoints(_: int) -> bool:
        """There is a checkpoint that is newer than the last signal."""
        found = here.glob("compare/retrain/tune/*/checkpoint_*/state*")
        return any(file.stat().st_mtime > since for file in found)

    for send, signum in ((os.killpg, signal.SIGTERM), (os.kill, signal.SIGINT), (os.killpg, signal.SIGHUP)):
        since = time.time()
        out = signalled([*RETRAINING, "--seeds", "2", "--resume"], checkpoints, send, signum, here)
        assert "interrupted: go on with\n  " in out and "--resume" in out
        assert "Traceback" not in out and "FAILED" not in out and "leaked" not in out, out
    run(*RETRAINING, "--seeds", "2", "--resume", cwd=here)
    rows = []
    for place in (tmp_path / "whole", here):
        table = pd.read_parquet(place / "compare" / "evaluations.parquet").set_index("evaluation_id").sort_index()
        assert len(table) == 2
        rows.append(table[["fid", "kid_mean", "is_mean", "precision", "recall", "kimg"]])
        for file in table["checkpoint_path"]:
            assert (place / "compare" / file).is_file()
    pd.testing.assert_frame_equal(*rows, check_exact=True)
    for file in (here / "compare" / "retrain").glob("*/generator.safetensors"):
        # Not the bytes: safetensors writes what stands in the header in any order.
        weights, others = load_file(str(file)), load_file(str(tmp_path / "whole" / file.relative_to(here)))
        assert weights.keys() == others.keys()
        assert all(torch.equal(weight, others[name]) for name, weight in weights.items())
