"""A network on two GPUs that are declared and not there: two processes on CPUs, which meet by gloo.

The cluster has no dashboard: Ray's own help for what a controller leaves behind needs one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import torch
from ray import tune
from ray._raylet import PlacementGroupID
from ray.exceptions import RayActorError
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from ray.util.placement_group import PlacementGroup
from ray.util.queue import Empty
from safetensors.torch import load_file

import autogan_ray as ag
from autogan_ray.base.errors import ConfigError
from autogan_ray.config.study import StudyConfig
from autogan_ray.metrics.measure import prepare
from autogan_ray.nets.processes import ProcessLost
from autogan_ray.results.retrained import NETWORK_IDS
from autogan_ray.results.trial_log import TrialLogs
from autogan_ray.retraining.training import Retraining
from autogan_ray.retraining.wanted import wanted_jobs
from autogan_ray.tune import network_workers
from autogan_ray.tune.failures import FAILURE, ProcessDied, failure_of_process
from autogan_ray.tune.network_recorder import NetworkRecorder
from autogan_ray.tune.network_workers import Workers
from tests.sessions import started_by

from .conftest import command

CLUSTER = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=2, num_gpus=2, include_dashboard=False))
print("address", cluster.address, flush=True)
sys.stdin.readline()
cluster.shutdown()
"""
RETRAINING = ["retrain", "two", "--study", "smoke", "--genotype", "dcgan",
              "--set", "retrain.kimg=0.32", "--set", "retrain.evaluations=4"]  # fmt: skip


@pytest.fixture(scope="module")
def cluster(own_cache: Path) -> Iterator[tuple[str, int]]:
    """Its address, and the process that all of its processes are children of."""
    typed = [sys.executable, "-c", CLUSTER]
    with subprocess.Popen(typed, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ) as head:
        assert head.stdout is not None and head.stdin is not None
        yield next(line for line in head.stdout if line.startswith("address ")).split()[1], head.pid
        head.stdin.write("\n")


def workers(head: int) -> list[psutil.Process]:
    return [child for child, name in started_by(head) if name.startswith("ray::RayTrainWorker")]


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_of_which_one_is_killed_leave_what_one_process_does(
    cluster: tuple[str, int], tmp_path: Path
) -> None:
    (address, head), log = cluster, tmp_path / "log.txt"
    typed = command(*RETRAINING, "--gpus", "2", "--gpus-per-network", "2", "--address", address)
    with log.open("w") as out:
        process = subprocess.Popen(typed, cwd=tmp_path, stdout=out, stderr=out)
    while "0.16 of 0.32 kimg" not in log.read_text():
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)
    workers(head)[-1].kill()
    assert process.wait(timeout=400) == 0 and not workers(head), log.read_text()
    assert "retraining 1 networks, 0.32 kimg each, 1 side by side, on 2 GPUs each" in log.read_text()
    folder = tmp_path / "two"
    study = ag.load_study(folder)
    (trial,) = TrialLogs(folder / "retrain", NETWORK_IDS)
    assert trial.status["starts"] == 2
    texts = "".join(file.read_text() for file in (folder / "retrain" / "trials").glob("*.log"))
    assert "class_name: RayTrainWorker" in texts and "goes on from the checkpoint of evaluation" in texts
    assert "gpu:0 (on cpu)" in texts and "gpu:1 (on cpu)" in texts
    assert not any((folder / "retrain" / "tune").glob("*/checkpoint_*")), "checkpoints of finished networks are left"

    config = StudyConfig.parse(study.config, "study", ConfigError)
    recipe = config.retrain.model_copy(update={"kimg": 0.32, "evaluations": 4})
    config = config.model_copy(update={"retrain": recipe})
    (job,) = wanted_jobs(study, trial=None, top=1, genotypes=["dcgan"], seeds=1, config=config)
    alone = Retraining(replace(job, folder=tmp_path / "one"), prepare(config.data, config.metrics))
    expected = alone.run()
    row = study.evaluations.set_index("evaluation_id").loc[job.evaluation_id]
    for name in ("fid", "kid_mean", "is_mean", "precision", "recall", "kimg", "fid_untrained", "n_fake"):
        assert row[name] == pytest.approx((expected["row"] | expected)[name], rel=1e-3), name
    columns = ["kimg", "fid", "loss_g", "loss_d", "d_real", "d_fake"]
    curve = pd.DataFrame(expected["curve"])[columns]
    pd.testing.assert_frame_equal(study.curves[columns], curve, rtol=1e-3, atol=1e-5)
    theirs, ours = (load_file(place / "generator.safetensors") for place in (job.folder, tmp_path / "one"))
    assert theirs.keys() == ours.keys()
    for name, weight in ours.items():
        torch.testing.assert_close(theirs[name], weight, rtol=0, atol=1e-3)
    assert {file.name for file in (tmp_path / "one").iterdir()} < {file.name for file in job.folder.iterdir()}


class Group(PlacementGroup):
    def __init__(self) -> None:
        super().__init__(PlacementGroupID.nil())


class Mailbox:
    """Ray's queue, without a process."""

    def __init__(self, *messages: Any) -> None:
        self._messages = list(messages)

    def get(self, timeout: float) -> Any:
        if not self._messages:
            raise Empty
        return self._messages.pop(0)

    def empty(self) -> bool:
        return not self._messages


class Trainer:
    """Ray Train: it runs until the placement group of its workers is removed, or it fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.removed, self.asked = threading.Event(), lambda: None
        self._error = error

    def remove(self) -> None:
        self.asked()
        self.removed.set()

    def fit(self) -> None:
        if self._error is not None:
            raise self._error
        assert self.removed.wait(20)
        raise RuntimeError("the workers are gone")


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Runs a trial with what its workers put into the mailbox; returns what it reports to Tune."""

    def run(trainer: Trainer, *messages: Any, stop: bool = False) -> list[dict[str, Any]]:
        reports: list[dict[str, Any]] = []

        def report(metrics: dict[str, Any], checkpoint: Any = None) -> None:
            reports.append(
                metrics | ({} if checkpoint is None else {"state": Path(checkpoint.path, "a/b").read_bytes()})
            )
            if stop:
                raise SystemExit

        monkeypatch.setattr(network_workers, "POLL_S", 0.01)
        monkeypatch.setattr(network_workers, "Queue", lambda **_: Mailbox(*messages))
        monkeypatch.setattr(network_workers, "_trainer", lambda *_: trainer)
        monkeypatch.setattr(network_workers, "remove_placement_group", lambda group: trainer.remove())
        monkeypatch.setattr(tune, "get_checkpoint", lambda: None)
        monkeypatch.setattr(tune, "report", report)
        workers = Workers("smoke", None, 2, 1.0)  # type: ignore[arg-type]
        with pytest.raises(SystemExit) if stop else nullcontext():
            network_workers.run_network_on_several({"trial_id": "t0", "checkpoints": []}, workers)
        return reports

    return run


POINT: tuple[dict[str, Any], dict[str, bytes]] = ({"fid": 1.0}, {"a/b": b"state"})


def test_a_trial_that_is_stopped_ends_its_workers_and_then_itself(trial: Callable[..., list[dict[str, Any]]]) -> None:
    trainer, waited = Trainer(), threading.Event()

    def wait() -> None:
        network_workers.wait_for_workers()
        waited.set()

    def begin_to_wait() -> None:
        threading.Thread(target=wait, daemon=True).start()
        assert not waited.wait(0.2), "it runs"

    trainer.asked = begin_to_wait
    assert trial(trainer, Group(), POINT, POINT, stop=True) == [{"fid": 1.0, "state": b"state"}]
    assert trainer.removed.is_set() and waited.wait(5)


def test_what_a_worker_raises_is_reported_and_ends_the_others(trial: Callable[..., list[dict[str, Any]]]) -> None:
    trainer = Trainer()
    assert trial(trainer, Group(), POINT, ({FAILURE: "{}"}, {}), POINT)[1:] == [{FAILURE: "{}"}]
    assert trainer.removed.is_set()


def test_a_worker_that_died_is_told_as_the_death_of_a_trial(
    trial: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    died = WorkerHealthCheckFailedError(
        "A worker health check failed.", failure=RayActorError(error_msg="The actor died")
    )
    lost = ProcessLost("another process has ended")
    with pytest.raises(ProcessDied, match="The actor died") as raised:
        trial(Trainer(WorkerGroupError("workers", {0: lost, 1: died})), Group(), POINT)
    text = "".join(traceback.format_exception(raised.value))
    file = tmp_path / "error.txt"
    file.write_text(f"Failure # 1 (occurred at noon)\nray::smoke t0 train()\n{text}\n")
    failure = failure_of_process(str(file), killed_for_memory=False, less_memory="")
    assert failure.type == "ray.exceptions.ActorDiedError" and failure.message.startswith("The actor died")
    failure = failure_of_process(str(file), killed_for_memory=True, less_memory=NetworkRecorder.LESS_MEMORY)
    assert failure.type == "ray.exceptions.OutOfMemoryError"
    assert "memory ran out; lower retrain.batch_size or retrain.channels_g. The actor died" in failure.message
