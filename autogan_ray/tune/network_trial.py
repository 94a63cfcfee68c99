"""A retraining as Ray runs it: a report and a checkpoint at each point of the curve, and at the end the files."""

from __future__ import annotations

import json
import os
import tempfile
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from autogan_ray.metrics.diverged import DIVERGED_FID
from autogan_ray.metrics.measure import Measure
from autogan_ray.nets.processes import ALONE, Processes
from autogan_ray.results.grids import encode_grid
from autogan_ray.retraining.job import Job
from autogan_ray.retraining.training import Retraining
from autogan_ray.training.checkpoint import save_state
from autogan_ray.tune.failures import failures_reported
from autogan_ray.tune.fresh_process import reset_process
from autogan_ray.tune.trainable import assigned_device, saved_state
from autogan_ray.tune.trial_text import dated, point_text
from autogan_ray.tune.trial_voice import TrialVoice, print_line

FILES = "files"
"""Folder of the last checkpoint: what a finished retraining leaves."""

LESS_MEMORY = ("retrain.batch_size", "retrain.channels_g", "retrain.channels_d")
"""Settings that a retraining may change and by which it needs less memory, the first most easily lowered."""


@dataclass(frozen=True)
class NetworkInputs:
    """Everything that all retrainings of a call need, as values in Ray's object store.

    Args:
        name: of the study.
        jobs: by their evaluation ids.
    """

    name: str
    jobs: Mapping[str, Job]
    measure: Measure


def run_network(config: dict[str, Any], inputs: NetworkInputs) -> None:
    """Trains one network; Tune's function trainable.

    Args:
        config: what ``GivenNetworks`` gave.
    """
    voice = TrialVoice(inputs.name, config["trial_id"])
    with failures_reported(voice, LESS_MEMORY), voice.heard(), tempfile.TemporaryDirectory() as folder:
        device, label = assigned_device()
        voice.say(place_text(label))

        def report(metrics: dict[str, Any]) -> None:
            tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))

        saved = partial(saved_state, tune.get_checkpoint(), config["checkpoints"], voice)
        job = inputs.jobs[config["trial_id"]]
        NetworkTraining(job, inputs.measure, saved, device, voice, Path(folder), report).run()


def place_text(label: str) -> str:
    """Returns where this process runs, on a device of that name."""
    return f"runs on node {ray.util.get_node_ip_address()}, process {os.getpid()}, {label}"


class NetworkTraining:
    """Runs a retraining and reports its points to the driver; as a trial of a search does its evaluations.

    A checkpoint holds all points so far. A process that is started again sends them again, and the driver keeps one of
    each evaluation.

    Args:
        saved: returns the state to go on from, None where there is none; called in the first process alone.
        folder: for what a report's checkpoint holds.
        report: sends metrics to the driver with the folder's content; called in the first process alone.
        processes: that train the network together, each with an object of this class.
    """

    def __init__(
        self,
        job: Job,
        measure: Measure,
        saved: Callable[[], dict[str, Any] | None],
        device: torch.device,
        voice: TrialVoice,
        folder: Path,
        report: Callable[[dict[str, Any]], None],
        processes: Processes = ALONE,
    ) -> None:
        reset_process(job.seed, device, job.study.tune.trial_threads)
        self._job, self._voice, self._folder, self._report, self._processes = job, voice, folder, report, processes
        self._retraining = Retraining(replace(job, folder=folder / FILES, device=str(device)), measure, processes)
        self._grids: dict[int, str] = {}
        state = processes.told(saved)
        self._again = state is not None
        if state is not None:
            self._retraining.load_state_dict(state)
            voice.say(f"goes on from the checkpoint of evaluation {len(self._retraining.curve)}")

    def run(self) -> None:
        retraining, race = self._retraining, self._job.stage == "race"
        if not self._processes.first:
            for _ in retraining.points():
                pass
            return
        if not self._again:
            retraining.score_untrained()
            self._keep_grid(0)
        for point in retraining.points():
            self._keep_grid(point["evaluation"])
            self._send(retraining.curve if self._again else [point])
            self._again = False
        if race:
            if self._again:  # the checkpoint was that of the last evaluation
                self._send(retraining.curve)
            return
        self._send(retraining.curve, retraining.finish())

    def _keep_grid(self, evaluation: int) -> None:
        """Keeps a picture of the images just scored for the next report."""
        if self._job.study.results.grids and self._retraining.shown is not None:
            self._grids[evaluation] = b64encode(encode_grid(self._retraining.shown.numpy())).decode("ascii")

    def _send(self, points: list[dict[str, Any]], result: dict[str, Any] | None = None) -> None:
        """Reports points, and at the end the result, with a checkpoint."""
        last = points[-1]
        print_line(dated(last["timestamp"], point_text(last)))
        save_state(self._folder, self._retraining.state_dict())
        metrics = {
            "fid": DIVERGED_FID if last["diverged"] else last["fid"],
            "evaluation": last["evaluation"],
            "diverged": last["diverged"],
            "kimg": last["kimg"],
            "records": json.dumps(points),
            "grids": json.dumps(self._grids),
            "lines": json.dumps(self._voice.take()),
            "result": json.dumps(result),
        }
        self._grids = {}
        self._report(metrics)
