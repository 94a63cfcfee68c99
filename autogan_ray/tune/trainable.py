"""A trial as Ray runs it: the search loop, a report at each evaluation, and a checkpoint now and then."""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from autogan_ray.base.errors import ConfigError, ResultsError
from autogan_ray.config.study import StudyConfig, TrialConfig
from autogan_ray.metrics.evaluation import Evaluator, Protocol
from autogan_ray.metrics.features import Extractor
from autogan_ray.metrics.measure import Measure
from autogan_ray.results.grids import encode_grid
from autogan_ray.search.loop import SearchLoop
from autogan_ray.spaces.space import SearchSpace
from autogan_ray.training.checkpoint import save_state
from autogan_ray.tune.failures import failures_reported
from autogan_ray.tune.fresh_process import reset_process
from autogan_ray.tune.gauges import set_gauges
from autogan_ray.tune.resume import state_of
from autogan_ray.tune.trial_text import dated, evaluation_text
from autogan_ray.tune.trial_voice import URGENT, TrialVoice, print_line

LESS_MEMORY = ("search.batch_size", "model.channels_g", "model.channels_d", "metrics.batch_size")
"""Settings by which a trial needs less memory, the first most easily lowered."""


@dataclass(frozen=True)
class TrialInputs:
    """Everything that all trials need, as values in Ray's object store, so that a remote node needs no files.

    A node holds it once. The images are shared by all its trials and must not be written to.
    """

    study: dict[str, Any]
    spaces: Mapping[str, dict[str, Any]]
    measure: Measure


def run_trial(config: dict[str, Any], inputs: TrialInputs) -> None:
    """Runs one trial; Tune's function trainable.

    Args:
        config: what ``OptunaSearch.suggest`` proposed.
    """
    voice = TrialVoice(inputs.study["name"], config["trial_id"])
    with failures_reported(voice, LESS_MEMORY), voice.heard():
        _run(config, inputs, voice)


def _run(config: dict[str, Any], inputs: TrialInputs, voice: TrialVoice) -> None:
    study = StudyConfig.parse(inputs.study, "study", ConfigError)
    trial = TrialConfig.parse(json.loads(config["trial"]), "trial", ConfigError)
    device, label = assigned_device()
    voice.say(f"runs on node {ray.util.get_node_ip_address()}, process {os.getpid()}, {label}")
    reset_process(trial.seed, device, study.tune.trial_threads)
    protocol = Protocol.of(study, study.metrics.n_fake_search)
    measure = inputs.measure
    evaluator = Evaluator(Extractor(measure.extractor, device), measure.real, protocol, device)
    loop = SearchLoop(
        trial,
        SearchSpace.from_dict(inputs.spaces[trial.space]),
        measure.data,
        evaluator,
        evaluations=study.tune.max_evaluations,
        rank_by=study.metrics.rank_by,
        supernet_every=study.metrics.supernet_every,
        device=device,
    )
    saved = saved_state(tune.get_checkpoint(), config["checkpoints"], voice, needed=_Reporter.NEEDED)
    if saved is not None:
        voice.say(f"goes on from the checkpoint of evaluation {len(json.loads(saved['records']))}")
    first, grids = config["number"] == 0, study.results.grids > 0
    _Reporter(loop, label, config["attempt"], saved, voice, first, grids, config["trial"]).run()


def assigned_device() -> tuple[torch.device, str]:
    """The device to work on, and its name for the tables, which has Ray's GPU ids even where there is no CUDA."""
    ids = [str(gpu) for gpu in ray.get_gpu_ids()]
    if ids and torch.cuda.is_available():
        return torch.device("cuda"), "cuda:" + ",".join(ids)
    return torch.device("cpu"), f"gpu:{','.join(ids)} (on cpu)" if ids else "cpu"


def saved_state(
    own: tune.Checkpoint | None, earlier: Sequence[str], voice: TrialVoice, needed: Set[str] = frozenset()
) -> dict[str, Any] | None:
    """Returns the state of the first checkpoint that is whole; None where there is none.

    Args:
        own: a checkpoint of this run, where the trial's process died and was started again.
        earlier: paths or URIs of checkpoints of earlier runs, newest first.
        voice: says which checkpoints are not whole.
        needed: what a whole state has.
    """
    for source in (own, *earlier):
        if source is None:
            continue
        try:
            return state_of(source, needed)
        except (ResultsError, OSError) as error:  # torn by a power cut, or gone
            voice.say(f"{URGENT}{error}; taking an older checkpoint, or beginning anew")
    return None


class _Reporter:
    """Runs a search loop and reports its records to the driver.

    A checkpoint holds the trial's settings and all records so far: a damaged log is mended from it. If the driver dies
    between a checkpoint and its report, the resumed trial sends the records of its checkpoint again, and the driver
    keeps one record of each evaluation.

    The first and the last evaluation leave a checkpoint, and of the others those that end at least :attr:`SHORTEST_S`
    after the last checkpoint.
    """

    NEEDED = frozenset({"loop", "records", "spent_s", "attempt"})
    """What a checkpoint of a trial has."""
    SHORTEST_S = 5.0
    """If a trial dies, it is cheaper to repeat this many seconds of work than to save after each evaluation."""

    def __init__(
        self,
        loop: SearchLoop,
        device: str,
        attempt: int = 0,
        saved: dict[str, Any] | None = None,
        voice: TrialVoice | None = None,
        first: bool = False,
        grids: bool = False,
        config: str = "{}",
    ) -> None:
        self._loop, self._device, self._voice = loop, device, voice or TrialVoice()
        self._first, self._with_grids, self._config = first, grids, config
        self._grids: dict[int, str] = {}
        self._saved_at = -math.inf
        self._records: list[dict[str, Any]] = []
        self._spent_s, self._attempt, self._send_all = 0.0, attempt, False
        self._start = time.perf_counter()
        if saved is not None:
            loop.load_state_dict(saved["loop"])
            self._records = json.loads(saved["records"])
            self._spent_s, self._attempt = saved["spent_s"], max(attempt, saved["attempt"] + 1)
            self._send_all = True

    def run(self) -> None:
        untrained = {}
        if self._first and not self._records:
            score = self._loop.untrained()
            self._keep_grid(0, score.images)
            untrained["fid_untrained"] = score.fid
        for record in self._loop.records():
            self._keep_grid(record.evaluation, self._loop.shown)
            self._report(record.to_dict() | untrained)
            untrained = {}
        if self._send_all and self._records:
            # The checkpoint was that of the last evaluation, and no other report will follow.
            self._send(self._records[-1], None)

    def _keep_grid(self, evaluation: int, images: torch.Tensor | None) -> None:
        """Keeps a picture of the images for the next report; a report is text, as Ray's loggers read it."""
        if self._with_grids and images is not None:
            self._grids[evaluation] = b64encode(encode_grid(images.numpy())).decode("ascii")

    def _report(self, record: dict[str, Any]) -> None:
        spent_s = self._spent_s + time.perf_counter() - self._start
        record |= {
            "attempt": self._attempt,
            "timestamp": time.time(),
            "wall_s": spent_s,
            "device": self._device,
            "node": ray.util.get_node_ip_address(),
            "pid": os.getpid(),
        }
        self._records.append(record)
        last = record["diverged"] or record["evaluation"] >= self._loop.evaluations
        if not last and time.monotonic() < self._saved_at + self.SHORTEST_S:
            self._send(record, None)
            return
        with tempfile.TemporaryDirectory() as folder:
            state = {
                "loop": self._loop.state_dict(),
                "records": json.dumps(self._records),
                "spent_s": spent_s,
                "attempt": self._attempt,
                "config": self._config,
            }
            save_state(Path(folder), state)
            self._send(record, tune.Checkpoint.from_directory(folder))
        self._saved_at = time.monotonic()

    def _send(self, record: dict[str, Any], checkpoint: Any) -> None:
        records = self._records if self._send_all else [record]
        self._send_all = False
        # The driver logs records by itself: the line is for those who look at the process.
        print_line(dated(record["timestamp"], evaluation_text(record)))
        set_gauges(self._voice.study, self._voice.trial_id, record)
        metrics = {
            "fid": record["fid"],
            "evaluation": record["evaluation"],
            "diverged": record["diverged"],
            "kimg": record["kimg"],
            "records": json.dumps(records),
            "grids": json.dumps(self._grids),
            "lines": json.dumps(self._voice.take()),
        }
        self._grids = {}
        tune.report(metrics, checkpoint=checkpoint)
