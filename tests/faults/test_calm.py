"""Faults in real studies: what fails alike, what diverges, what is killed for memory; each study is a few seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from optuna.trial import TrialState

from autogan_ray.tune.journal import open_journal

pytestmark = [pytest.mark.faults, pytest.mark.ray, pytest.mark.timeout(300)]

BROKEN = """
import os, sys
from autogan_ray.cli.main import main
from autogan_ray.tune import trainable

from types import SimpleNamespace
from ray import cloudpickle
from ray.tune.experiment import trial as rays

class Watched(SimpleNamespace):
    def loads(self, content):
        print("UNPICKLED")
        return cloudpickle.loads(content)

rays.cloudpickle = Watched(dump=cloudpickle.dump, dumps=cloudpickle.dumps)

def broken(config, inputs):
    import torch
    from autogan_ray.search.loop import SearchLoop
    from autogan_ray.tune.trainable import run_trial
    number, step, evaluate = config["number"], SearchLoop.step, SearchLoop.evaluate
{body}
    try:
        run_trial(config, inputs)
    finally:
        SearchLoop.step, SearchLoop.evaluate = step, evaluate

broken.__module__ = "__main__"  # Ray ships it by value
trainable.run_trial = broken

def told():
    import ray
    from pathlib import Path
    folder = Path(ray._private.worker._global_node.get_session_dir_path()).parent.parent
    with open("mode", "a") as file:
        file.write(f"{{os.stat(folder).st_mode & 0o777:o}}\\n")

from autogan_ray.tune.recorder import Recorder
class Told(Recorder):
    def on_trial_start(self, *given, **more):
        told()
        super().on_trial_start(*given, **more)
sys.modules[Recorder.__module__].Recorder = Told
main()
"""


def run(cwd: Path, body: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A study ``smoke`` in a process of its own, whose trials do what ``body`` says."""
    script = BROKEN.format(body="\n".join(f"    {line}" for line in body.strip().splitlines()))
    typed = [sys.executable, "-c", script, "run", "smoke", *arguments]
    env = os.environ | variables
    return subprocess.run(typed, cwd=cwd, capture_output=True, text=True, timeout=280, env=env)


def trials_of(cwd: Path) -> pd.DataFrame:
    return pd.read_parquet(cwd / "results" / "smoke" / "trials.parquet").set_index("trial_id")


def test_an_error_is_not_tried_again_and_three_trials_that_fail_alike_end_the_study(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        """
def fails(self):
    raise TypeError("no such shape \\x1b[31m")
SearchLoop.step = fails
""",
        *("--trials", "8", "--set", "tune.max_concurrent=2", "--set", "tune.max_failures=5"),
    )
    assert found.returncode == 1, found.stdout + found.stderr
    trials = trials_of(tmp_path)
    failed = trials[trials["status"] == "error"]
    assert 3 <= len(failed) <= 4 and len(trials) <= 5  # another one may have been on its way
    assert set(failed["restarts"]) == {0} and set(failed["error_type"]) == {"TypeError"}
    assert "no trial has a score" in found.stdout and "failed alike at <string>:" in found.stderr
    assert "TypeError: no such shape \\x1b[31m" in found.stdout and "\x1b" not in found.stdout + found.stderr
    assert set((tmp_path / "mode").read_text().split()) == {
        "700"
    }  # of the folder around Ray's, whose processes open theirs
    log = tmp_path / "results" / "smoke" / "trials" / f"{failed.index[0]}.log"
    assert "Traceback (most recent call last)" in log.read_text()
    state = json.loads((tmp_path / "results" / "smoke" / "study.json").read_text())
    assert state["status"] == "interrupted"


def test_trials_that_diverge_end_there_and_one_whose_process_dies_is_tried_again(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        """
import os
def diverges(self):
    if self.evaluation == 1 and number == 1:
        self.net.arch_g.logits.data.fill_(float("nan"))
    if self.evaluation == 1 and number == 2:
        for weights in self.ema.network.parameters():
            weights.data.zero_()
    if number == 3:
        os._exit(1)
    return evaluate(self)
SearchLoop.evaluate = diverges
""",
        *("--trials", "4", "--set", "tune.max_concurrent=1", "--set", "tune.scheduler=none"),
        *("--set", "tune.max_failures=1"),
    )
    assert found.returncode == 0, found.stdout + found.stderr
    trials = trials_of(tmp_path)
    assert trials["status"].tolist() == ["complete", "diverged", "diverged", "error"]
    assert trials["evaluations"].tolist()[1:] == [2, 2, 0] and (trials["fid_best"].dropna() < 1e4).all()
    assert trials["restarts"].tolist() == [0, 0, 0, 1]
    assert trials["error_type"].tolist()[3] == "ray.exceptions.ActorDiedError"
    # Ray leaves the error as a pickle in the storage, and nobody reads it.
    left = list((tmp_path / "results" / "smoke" / "tune").glob("*/error.pkl"))
    assert left and "UNPICKLED" not in found.stdout
    assert "diverged: 1 of 4 trials (t0001): logits are not finite" in found.stdout
    assert "diverged: 1 of 4 trials (t0002): the generator's images are all the same" in found.stdout
    storage = open_journal(tmp_path / "results" / "smoke" / "optuna.journal")
    (study,) = storage.get_all_studies()
    states = [trial.state for trial in storage.get_all_trials(study._study_id)]
    assert states == [TrialState.COMPLETE, *[TrialState.FAIL] * 3]


ONE = ("--trials", "1", "--set", "tune.max_failures=0")


@pytest.fixture
def little_memory() -> Iterator[Path]:
    """A control group of processes that have 64 MiB together; tests are skipped where none can be made."""
    root = Path("/sys/fs/cgroup")
    group = (root / "memory" if (root / "memory").is_dir() else root) / f"autogan_ray_{os.getpid()}"
    limits = [group / name for name in ("memory.limit_in_bytes", "memory.max")]
    try:
        group.mkdir()
        next(limit for limit in limits if limit.exists()).write_text(str(2**26))
    except (OSError, StopIteration):
        pytest.skip("no control group of memory can be made here")
    yield group
    group.rmdir()


def test_a_trial_that_ray_kills_for_memory_says_so_and_what_to_do(tmp_path: Path) -> None:
    body = "import time\ntime.sleep(60)"
    found = run(tmp_path, body, *ONE, RAY_memory_usage_threshold="0.01", RAY_memory_monitor_refresh_ms="200")
    assert_killed_for_memory(tmp_path, found)


def test_a_trial_that_the_kernel_kills_for_memory_says_so_and_what_to_do(little_memory: Path, tmp_path: Path) -> None:
    body = f"""
import os
with open({str(little_memory / "cgroup.procs")!r}, "w") as group:
    group.write(str(os.getpid()))
taken = bytearray(os.urandom(2**20) * 256)
"""
    assert_killed_for_memory(tmp_path, run(tmp_path, body, *ONE))


def assert_killed_for_memory(cwd: Path, found: subprocess.CompletedProcess[str]) -> None:
    assert found.returncode == 1, found.stdout + found.stderr
    (trial,) = trials_of(cwd).itertuples()
    assert trial.status == "error" and trial.error_type == "ray.exceptions.OutOfMemoryError", trial.error_message
    assert "killed as memory ran out; run fewer side by side (tune.max_concurrent)" in found.stdout
