"""One trial as Ray runs it: a search loop, a report at each evaluation, a checkpoint now and then, nothing else."""

from __future__ import annotations

import json
import logging
import math
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from autogan_ray.base.errors import ConfigError, ResultsError
from autogan_ray.config.study import StudyConfig, TrialConfig
from autogan_ray.metrics.evaluation import Evaluator, Protocol
from autogan_ray.metrics.extractors.base import ExtractorWeights
from autogan_ray.metrics.features import Extractor
from autogan_ray.metrics.scores import RealSet
from autogan_ray.search.loop import SearchLoop
from autogan_ray.spaces.space import SearchSpace
from autogan_ray.training.checkpoint import load_state, save_state
from autogan_ray.training.data import ImageData
from autogan_ray.tune.fresh_process import begin_afresh


@dataclass(frozen=True)
class Bundle:
    """All a trial needs, as values, in Ray's object store once a node: a remote node needs no files.

    The images are read-only and shared by all trials of a node; nothing may write to them.
    """

    study: dict[str, Any]
    spaces: Mapping[str, dict[str, Any]]
    data: ImageData
    extractor: ExtractorWeights
    real: RealSet


def protocol_of(study: StudyConfig, n_fake: int) -> Protocol:
    """The study's way of generating, for a number of fakes."""
    metrics = study.metrics
    return Protocol(n_fake, metrics.batch_size, metrics.bn_batches, study.seed)


def run_trial(config: dict[str, Any], bundle: Bundle) -> None:
    """Tune's function trainable. ``config``: as ``StudySearch`` proposes it."""
    study = StudyConfig.parse(bundle.study, "study", ConfigError)
    trial = TrialConfig.parse(json.loads(config["trial"]), "trial", ConfigError)
    device, label = assigned_device()
    begin_afresh(trial.seed, device, study.tune.threads or max(1, int(study.tune.cpus_per_trial)))
    evaluator = Evaluator(
        Extractor(bundle.extractor, device), bundle.real, protocol_of(study, study.metrics.n_fake_search), device
    )
    loop = SearchLoop(
        trial,
        SearchSpace.from_dict(bundle.spaces[trial.space]),
        bundle.data,
        evaluator,
        evaluations=study.tune.max_evaluations,
        rank_by=study.metrics.rank_by,
        supernet_every=study.metrics.supernet_every,
        device=device,
    )
    saved = _saved(tune.get_checkpoint(), config["checkpoints"])
    _Reporter(loop, label, study.tune.max_evaluations, config["attempt"], saved).run()


def assigned_device() -> tuple[torch.device, str]:
    """The device to work on, and the name the tables carry: the ids Ray assigned, whether or not CUDA is there."""
    ids = [str(one) for one in ray.get_gpu_ids()]
    if ids and torch.cuda.is_available():
        return torch.device("cuda"), "cuda:" + ",".join(ids)
    return torch.device("cpu"), f"gpu:{','.join(ids)} (on cpu)" if ids else "cpu"


def _saved(own: tune.Checkpoint | None, earlier: Sequence[str]) -> dict[str, Any] | None:
    """The state to go on from: of this run, where a process died; else of an earlier one; the first that is whole."""
    for one in (own, *earlier):
        if one is None:
            continue
        try:
            with (tune.Checkpoint(one) if isinstance(one, str) else one).as_directory() as folder:
                return load_state(Path(folder))
        except (ResultsError, OSError) as error:  # torn by a power cut, or gone
            logging.getLogger(__name__).warning("%s; taking an older one, or beginning anew", error)
    return None


class _Reporter:
    """Runs a loop and reports; a checkpoint carries all earlier records, so that the driver can lose none.

    The driver learns of a record by the report. Should it die between a checkpoint and the report, the resumed trial
    sends the records of its checkpoint again; the driver keeps one of each evaluation.

    The first and the last evaluation leave a checkpoint, of the others those that come :attr:`SHORTEST_S` after one.
    """

    SHORTEST_S = 5.0
    """It is cheaper to do so many seconds of work again, should a trial die, than to save after each of them."""

    def __init__(
        self, loop: SearchLoop, device: str, planned: int, attempt: int = 0, saved: dict[str, Any] | None = None
    ) -> None:
        self._loop, self._device, self._planned = loop, device, planned
        self._saved_at = -math.inf
        self._records: list[dict[str, Any]] = []
        self._spent_s, self._attempt, self._resend = 0.0, attempt, False
        self._start = time.perf_counter()
        if saved is not None:
            loop.load_state_dict(saved["loop"])
            self._records = json.loads(saved["records"])
            self._spent_s, self._attempt = saved["spent_s"], max(attempt, saved["attempt"] + 1)
            self._resend = True

    def run(self) -> None:
        for record in self._loop.records():
            self._report(record.to_dict())
        if self._resend and self._records:
            # The checkpoint was of the last evaluation: nothing was left to do but to tell.
            self._send(self._records[-1], None)

    def _report(self, record: dict[str, Any]) -> None:
        spent = self._spent_s + time.perf_counter() - self._start
        record |= {
            "attempt": self._attempt,
            "timestamp": time.time(),
            "wall_s": spent,
            "device": self._device,
            "node": ray.util.get_node_ip_address(),
            "pid": os.getpid(),
        }
        self._records.append(record)
        last = record["diverged"] or record["evaluation"] >= self._planned
        if not last and time.monotonic() < self._saved_at + self.SHORTEST_S:
            self._send(record, None)
            return
        with tempfile.TemporaryDirectory() as folder:
            state = {
                "loop": self._loop.state_dict(),
                "records": json.dumps(self._records),
                "spent_s": spent,
                "attempt": self._attempt,
            }
            save_state(Path(folder), state)
            self._send(record, tune.Checkpoint.from_directory(folder))
        self._saved_at = time.monotonic()

    def _send(self, record: dict[str, Any], checkpoint: Any) -> None:
        news = self._records if self._resend else [record]
        self._resend = False
        metrics = {
            "fid": record["fid"],
            "evaluation": record["evaluation"],
            "diverged": record["diverged"],
            "kimg": record["kimg"],
            "records": json.dumps(news),
        }
        tune.report(metrics, checkpoint=checkpoint)
