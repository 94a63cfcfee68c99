"""A retraining by several processes, a GPU each: Ray Train starts them, inside the network's trial of Ray Tune.

::

    driver             Ray Tune: the trial, as any other
      trial            this file's run_network_on_several; it holds no GPU, and no processor
        fit()          Ray Train: its controller places the workers together, and watches them
          worker 0     trains, scores, and puts its reports into the trial's mailbox
          worker 1 ..  train

The trial reports to the driver what the first worker put into the mailbox, checkpoint and all: for the driver it is a
trial like one that trains by itself. Ray Train keeps no checkpoints and starts nothing again. Where a worker dies, it
ends the others, the trial fails, and Ray Tune starts it again from its last checkpoint. Where Ray Tune stops the trial,
as ASHA does, the trial ends its workers before it ends, as the next trial waits for their GPUs.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.exceptions import RayActorError
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from ray.util.placement_group import PlacementGroup, get_current_placement_group, remove_placement_group
from ray.util.queue import Empty, Queue
from torch import distributed

from autogan_ray.nets.processes import Processes, ProcessLost
from autogan_ray.tune.failures import FAILURE, ProcessDied, failure_report, failures_reported
from autogan_ray.tune.network_trial import LESS_MEMORY, NetworkTraining, place_text
from autogan_ray.tune.trainable import assigned_device, saved_state
from autogan_ray.tune.trial_voice import TrialVoice

TRIAL = {"cpu": 0.0, "gpu": 0.0, "memory": 1.0}
"""Resources of the trial itself: one byte, as Ray Tune refuses a trial without any."""

POLL_S = 1.0
"""How long the trial waits at a time for a report, before it looks whether the workers still run."""

UNWIND_S = 60.0
"""How long an end may take: some seconds, as Ray Train asks its workers every two seconds how they do."""

PATIENCE_S = 7 * 24 * 3600
"""How long workers wait for each other: the first scores meanwhile, with Inception on processors for hours. That a
worker has died is noticed by Ray Train."""

_RUNS = threading.Lock()
"""Held while the trial of this process runs."""


@dataclass(frozen=True)
class Workers:
    """What the trials of a call need to start their workers.

    Args:
        name: of the study.
        inputs: ``NetworkInputs`` in Ray's object store.
        count: workers of a network.
        cpus: processors of a worker.
    """

    name: str
    inputs: ray.ObjectRef
    count: int
    cpus: float


def run_network_on_several(config: dict[str, Any], workers: Workers) -> None:
    """Trains one network on several GPUs; Tune's function trainable.

    Args:
        config: what ``GivenNetworks`` gave.
    """
    voice = TrialVoice(workers.name, config["trial_id"])
    with _RUNS, failures_reported(voice, LESS_MEMORY), voice.heard(), tempfile.TemporaryDirectory() as folder:
        mailbox = Queue(maxsize=1, actor_options={"num_cpus": 0})
        given = {"config": config, "own": tune.get_checkpoint(), "inputs": workers.inputs, "mailbox": mailbox}
        fit = _Fit(_trainer(workers, given, folder))
        group: PlacementGroup | None = None
        try:
            for message in _messages(mailbox, fit):
                if isinstance(message, PlacementGroup):
                    group = message
                elif FAILURE in message[0]:
                    tune.report(message[0])
                    return
                else:
                    _pass_on(*message)
            fit.check()
        finally:
            if group is not None and fit.running:
                remove_placement_group(group)  # which ends the workers, and frees their GPUs
            fit.wait()


def wait_for_workers() -> None:
    """Returns when all that this process started for its trial has ended, or does not end."""
    if _RUNS.acquire(timeout=UNWIND_S):
        _RUNS.release()


def _pass_on(metrics: dict[str, Any], files: Mapping[str, bytes]) -> None:
    """Reports to Tune; where Tune stops the trial, SystemExit is raised here."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            file = Path(folder, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))


def _trainer(workers: Workers, given: dict[str, Any], folder: str) -> TorchTrainer:
    """Ray Train for the workers of one network.

    Args:
        folder: on this node; Ray Train leaves a mark there and nothing else.
    """
    # Tune alone starts a trial again: from its newest checkpoint, of which Ray Train knows nothing.
    limits = ("max_failures", "max_preemption_failures")  # older versions of Ray have only the first
    never: dict[str, Any] = {limit: 0 for limit in limits if hasattr(FailureConfig, limit)}
    os.environ["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = "0"  # one process less: a lost node is noticed anyway
    return TorchTrainer(
        _work,
        train_loop_config=given | {"name": workers.name},
        torch_config=TorchConfig(backend="nccl" if _gpus_are_real() else "gloo", timeout_s=PATIENCE_S),
        scaling_config=ScalingConfig(
            num_workers=workers.count, use_gpu=True, resources_per_worker={"GPU": 1, "CPU": workers.cpus}
        ),
        run_config=RunConfig(
            name=given["config"]["trial_id"], storage_path=folder, failure_config=FailureConfig(**never)
        ),
    )


def _gpus_are_real() -> bool:
    """Whether the cluster's GPUs are there, and not only declared (``ray start --num-gpus 2``)."""
    return torch.cuda.is_available() or any(name.startswith("accelerator_type:") for name in ray.cluster_resources())


class _Fit:
    """Ray Train's ``fit()``, in a thread: the trial's own thread is the one that may report to Tune."""

    def __init__(self, trainer: TorchTrainer) -> None:
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(trainer,), name="fit", daemon=True)
        self._thread.start()

    def _run(self, trainer: TorchTrainer) -> None:
        try:
            trainer.fit()
        except Exception as error:
            self._error = error

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def wait(self) -> None:
        """Returns when Ray Train has ended the workers, or does not end."""
        self._thread.join(UNWIND_S)

    def check(self) -> None:
        """Raises ProcessDied where the workers did not come to their end.

        What one of them raised has been reported by itself: that is no failure of this kind.
        """
        if self._error is None:
            return
        failures = getattr(self._error, "worker_failures", {}).values()
        causes = [cause for failure in failures if isinstance(cause := _cause(failure), RayActorError)]
        raise ProcessDied(str(causes[0] if causes else self._error)) from None


def _cause(failure: Exception) -> BaseException:
    """What Ray Train found when it asked a worker how it does."""
    return getattr(failure, "health_check_failure", None) or failure


def _messages(mailbox: Queue, fit: _Fit) -> Iterator[PlacementGroup | tuple[dict[str, Any], dict[str, bytes]]]:
    """Yields what the workers tell until they have ended: where they are, once, and reports.

    A report is metrics, and a checkpoint's files by their names: nothing for which the mailbox's process would have to
    import torch.
    """
    while fit.running or not mailbox.empty():
        with suppress(Empty):
            yield mailbox.get(timeout=POLL_S)


def _work(given: dict[str, Any]) -> None:
    """Trains in a worker."""
    processes = Processes(distributed.get_rank(), distributed.get_world_size())
    config, mailbox = given["config"], given["mailbox"]
    voice = TrialVoice(given["name"], config["trial_id"])
    with voice.heard(), tempfile.TemporaryDirectory() as folder:

        def report(metrics: dict[str, Any]) -> None:
            files = [file for file in Path(folder).rglob("*") if file.is_file()]
            mailbox.put((metrics, {str(file.relative_to(folder)): file.read_bytes() for file in files}))

        if processes.first:
            mailbox.put(get_current_placement_group())
        try:
            device, label = assigned_device()
            if device.type == "cuda":
                device = get_device()  # with its number: a worker sees those of all workers on its node
            for place in processes.each(place_text(label)):
                voice.say(place)
            inputs = ray.get(given["inputs"])
            job = inputs.jobs[config["trial_id"]]
            saved = partial(saved_state, given["own"], config["checkpoints"], voice)
            NetworkTraining(job, inputs.measure, saved, device, voice, Path(folder), report, processes).run()
        except ProcessLost:
            raise  # Ray Train knows of which it is
        except Exception as error:
            mailbox.put((failure_report(error, voice, LESS_MEMORY), {}))
            raise
