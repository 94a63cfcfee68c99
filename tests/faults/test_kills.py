"""Kills where two trials run side by side, as Ray starts, of a node; and clocks that are set back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.sessions import left_in
from tests.tune.conftest import command, run
from tests.tune.test_interruption import ray_starts
from tests.tune.test_study import history, kill_trial_of

pytestmark = [pytest.mark.faults, pytest.mark.ray, pytest.mark.timeout(300)]

# Neither Optuna nor ASHA looks at scores: what a trial is, is then the same in whatever order trials end.
FOUR = ["run", "smoke", "--trials", "4", "--set", "tune.searcher=random", "--set", "tune.scheduler=none"]


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of four trials, one at a time, none of which is stopped; its folder."""
    place = tmp_path_factory.mktemp("four")
    run(*FOUR, "--set", "tune.max_concurrent=1", cwd=place)
    return place / "results" / "smoke"


def assert_same(study: Path, undisturbed: Path) -> None:
    pd.testing.assert_frame_equal(history(undisturbed), history(study), check_exact=True)
    trials = pd.read_parquet(study / "trials.parquet")
    assert set(trials["status"]) == {"complete"}, trials[["status", "error_type", "error_message"]]


def test_trials_side_by_side_whose_processes_and_driver_are_killed_leave_the_same_history(
    four: Path, tmp_path: Path
) -> None:
    study = [*FOUR, "--set", "tune.max_concurrent=2", "--resume"]
    killed = {"workers": 0, "driver": 0}
    for first, last in (("t000[01] evaluation 1", "t000[01] evaluation 2"), ("evaluation 1", "t000[23] evaluation 2")):
        process = subprocess.Popen(
            command(*study), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ
        )
        with process:
            assert process.stdout is not None
            waited = first
            for line in process.stdout:
                if waited == first and re.search(first, line):
                    kill_trial_of(process.pid)  # of both, where both run
                    killed["workers"] += 1
                    waited = last
                elif waited == last and re.search(last, line):
                    process.kill()
                    killed["driver"] += 1
    assert killed == {"workers": 2, "driver": 2}
    run(*study, cwd=tmp_path)
    assert_same(tmp_path / "results" / "smoke", four)
    assert pd.read_parquet(tmp_path / "results" / "smoke" / "trials.parquet")["restarts"].sum() >= 2


def test_a_driver_that_is_killed_as_ray_starts_leaves_neither_process_nor_lock(smoke: Path, tmp_path: Path) -> None:
    study = ["run", "smoke", "--trials", "3", "--set", "tune.max_concurrent=1", "--resume", "--new"]
    for wait in (0.0, 0.5, 1.0):
        process = subprocess.Popen(
            command(*study), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True
        )
        while not ray_starts(process.pid):
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(wait)
        process.kill()
        process.wait(timeout=10)
        deadline = time.monotonic() + 60
        while left := left_in(process.pid):
            assert time.monotonic() < deadline, left
            time.sleep(0.2)
    run(*study, cwd=tmp_path)
    pd.testing.assert_frame_equal(history(smoke), history(tmp_path / "results" / "smoke"), check_exact=True)


SET_BACK = """
import os, time
before = time.time
time.time = lambda: before() - (86400 if os.path.exists({flag!r}) else 0)
"""


def test_a_clock_that_is_set_back_by_a_day_changes_neither_history_nor_durations(smoke: Path, tmp_path: Path) -> None:
    flag, changed = tmp_path / "back", tmp_path / "clock"
    changed.mkdir()
    (changed / "sitecustomize.py").write_text(SET_BACK.format(flag=str(flag)))
    study = ["run", "smoke", "--set", "tune.max_concurrent=1", "--resume"]
    for trials in ("2", "3"):  # in each of Ray's processes, too; the second time the files are those of tomorrow
        process = subprocess.Popen(
            command(*study, "--trials", trials),
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "PYTHONPATH": str(changed)},
        )  # fmt: skip
        out = []
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                out.append(line)
                if "t0000 evaluation 1" in line:
                    flag.touch()
        assert process.returncode == 0, out
        assert not any("[-" in line or "about -" in line for line in out)
    folder = tmp_path / "results" / "smoke"
    both = [history(one).drop(columns="study_id") for one in (smoke, folder)]  # a study keeps the id it began with
    pd.testing.assert_frame_equal(*both, check_exact=True)
    told = pd.read_parquet(folder / "history.parquet")
    assert (pd.Timestamp.now(tz="UTC") - told["timestamp"]).dt.total_seconds().max() > 80_000  # it was set back
    assert (told["eval_s"] > 0).all() and (told["images_per_s"] > 0).all()
    trials_told, studies = (pd.read_parquet(folder / f"{name}.parquet") for name in ("trials", "studies"))
    assert (trials_told["wall_s"] > 0).all() and (studies["wall_s"] > 0).all()
    assert run("show", str(folder), cwd=tmp_path).stdout.count("-1 day") == 0


NODES = """
import os, subprocess, sys
from autogan_ray.tune.cluster import ENVIRONMENT
os.environ.update(ENVIRONMENT)
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=1, include_dashboard=False))
second = cluster.add_node(num_cpus=1)
study = [sys.executable, "-m", "autogan_ray", *sys.argv[1:], "--address", cluster.address]
process = subprocess.Popen(study, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
for line in process.stdout:
    print(line, end="", flush=True)
    if second is not None and "evaluation 1" in line and "t0001" in line:
        cluster.remove_node(second, allow_graceful=False)
        second = None
code = process.wait()
cluster.shutdown()
sys.exit(code if second is None else 99)
"""


def test_trials_of_a_node_that_is_killed_go_on_elsewhere_from_a_storage_of_their_own(
    four: Path, tmp_path: Path
) -> None:
    arguments = [*FOUR, "--set", "tune.max_concurrent=2", "--storage", str(tmp_path / "elsewhere")]
    done = subprocess.run(
        [sys.executable, "-c", NODES, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert_same(tmp_path / "results" / "smoke", four)
    assert list((tmp_path / "elsewhere").glob("*/tune/t0001-*/checkpoint_*"))
    assert not (tmp_path / "results" / "smoke" / "tune").exists()
    assert pd.read_parquet(tmp_path / "results" / "smoke" / "trials.parquet")["restarts"].sum() >= 1
