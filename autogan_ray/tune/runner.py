"""Runs a plan on Ray: hand over values, let Tune work, leave tables behind."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autogan_ray.base.errors import ResultsError
from autogan_ray.results.lock import sole_driver
from autogan_ray.results.trial_log import ENDED
from autogan_ray.study.plan import Plan
from autogan_ray.study.study_file import kept_if_refused, new_about, write_about

if TYPE_CHECKING:
    from autogan_ray.metrics.measure import Measure
    from autogan_ray.tune.recorder import Listener, Recorder

EXPERIMENT = "tune"
JOURNAL = "optuna.journal"
RUNGS = "rungs.json"


@dataclass(frozen=True)
class Options:
    """What the command line says beside the study.

    Args:
        address: of a running cluster; None starts one here, on loopback.
        storage: path or URI for Ray's checkpoints; None keeps them in the study's folder.
        time_budget_s: end the study after so long.
        command: as typed, for the record.
    """

    address: str | None = None
    storage: str | None = None
    time_budget_s: float | None = None
    command: str = ""


@dataclass(frozen=True)
class Outcome:
    """``interrupted``: the study ended before its trials did; ``over_budget``: because its time was up."""

    interrupted: bool
    over_budget: bool


def run_study(
    plan: Plan, measure: Measure, options: Options, listener: Listener | None, about: dict[str, Any] | None
) -> Outcome:
    """Run, or go on with, a study inside ``cluster``.

    Args:
        about: of an earlier run (from ``check_folder``), to go on with it; None for a fresh study.

    What an earlier run left to do stands in the logs of its trials, its rungs and Optuna's journal, each written when
    it happened. Ray's own snapshots are some seconds behind, and a torn one makes Ray begin anew.

    Raises ResultsError where another process runs this study, or Ray's folder holds the run of one that is not there.
    """
    from autogan_ray.tune.ray_internals import imports_left_alone

    plan.folder.mkdir(parents=True, exist_ok=True)
    earlier_s, fresh = (float(about["wall_s"]), False) if about else (0.0, True)
    start = time.monotonic()
    with imports_left_alone(), sole_driver(plan.folder):
        about = (about or new_about(plan, measure, options.command)) | {"status": "running"}
        storage = _storage(plan, options, about["study_id"])
        with kept_if_refused(plan.folder), _ended_as_by_ctrl_c(options.time_budget_s):
            write_about(plan.folder, about)
            try:
                _fit(plan, measure, storage, listener, fresh, joined=options.address is not None)
            except KeyboardInterrupt:
                pass  # before Ray listened for it
        # Ray's fit() returns alike whether it was interrupted or did all there was: the trials tell.
        recorder = _settle(plan)
        ended = [log for log in recorder.logs if log.state in ENDED - {"interrupted"}]
        interrupted = len(ended) < plan.study.tune.num_trials
        spent = time.monotonic() - start
        status = "interrupted" if interrupted else "complete"
        recorder.finish(status=status, finished_at=time.time(), wall_s=earlier_s + spent)
    return Outcome(interrupted, options.time_budget_s is not None and spent >= options.time_budget_s)


def _fit(plan: Plan, measure: Measure, storage: str, listener: Listener | None, fresh: bool, joined: bool) -> None:
    import numpy as np
    from ray import tune

    from autogan_ray.training.streams import stream_seed
    from autogan_ray.tune.asha import RungKeeper
    from autogan_ray.tune.optuna_search import StudySearch, folder_of
    from autogan_ray.tune.ray_internals import control_loop, workers_at_hand
    from autogan_ray.tune.resume import unfinished
    from autogan_ray.tune.trainable import Bundle, run_trial

    study, folder = plan.study, plan.folder.resolve()
    experiment = f"{storage}/{EXPERIMENT}"
    if fresh and tune.Tuner.can_restore(experiment):
        raise ResultsError(f"{experiment} holds an earlier run that {plan.folder} knows nothing of; remove one of both")
    recorder = _settle(plan, listener)
    waiting, first = unfinished(recorder.logs, experiment)
    to_do = len(waiting) + study.tune.num_trials - first
    if to_do == 0:
        return  # all ended, and only then the driver died
    spaces = {name: space.to_dict() for name, space in plan.spaces.items()}
    bundle = Bundle(study.to_dict(), spaces, measure.data, measure.extractor, measure.real)
    trainable: Any = tune.with_resources(
        tune.with_parameters(run_trial, bundle=bundle),
        {"cpu": study.tune.cpus_per_trial, "gpu": study.tune.gpus_per_trial},
    )
    np.random.seed(stream_seed(study.seed, "asha") % 2**32)  # Ray draws a trial's bracket from the global stream
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            num_samples=to_do,
            search_alg=StudySearch(study, folder / JOURNAL, waiting, first),
            scheduler=RungKeeper(study, folder / RUNGS) if study.tune.scheduler == "asha" else None,
            max_concurrent_trials=plan.slots,
            trial_dirname_creator=folder_of,
            # A process costs 4 s of imports. On GPUs a trial lasts long, and gets a CUDA context of its own.
            reuse_actors=plan.gpus == 0,
        ),
        run_config=tune.RunConfig(
            name=EXPERIMENT,
            storage_path=storage,
            callbacks=[recorder],
            failure_config=tune.FailureConfig(max_failures=study.tune.max_failures),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=study.tune.checkpoints),
            verbose=0,
        ),
    )
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    with control_loop(), nullcontext() if joined else workers_at_hand():
        tuner.fit()


def _settle(plan: Plan, listener: Listener | None = None) -> Recorder:
    """The trials as their logs have them, with the ends that a run came to and had no time to write or to tell.

    Ray acts on a decision of ASHA, and on a trial's last report, some turns of its loop later; a signal or the driver's
    death may come between.
    """
    from autogan_ray.tune.asha import StoppedTrials
    from autogan_ray.tune.optuna_search import StudySearch
    from autogan_ray.tune.recorder import Recorder

    folder = plan.folder.resolve()
    recorder = Recorder(folder, plan.study.tune.max_evaluations, StoppedTrials(folder / RUNGS), listener)
    recorder.settle()
    StudySearch(plan.study, folder / JOURNAL).catch_up(recorder.logs)
    return recorder


def _storage(plan: Plan, options: Options, study_id: str) -> str:
    """Where Ray keeps its state: a place of the study's own, also where several studies share a storage."""
    if options.storage is None:
        return str(plan.folder.resolve())
    shared = options.storage if "://" in options.storage else str(Path(options.storage).resolve())
    return f"{shared.rstrip('/')}/{study_id}"


@contextmanager
def _ended_as_by_ctrl_c(time_budget_s: float | None) -> Iterator[None]:
    """SIGTERM and the end of a time budget take the way of Ctrl-C: a graceful end from which a study can go on.

    (Ray's own time budget marks running trials as done, and they could never be resumed.)
    """

    def interrupt(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGTERM, interrupt)
    timer = threading.Timer(time_budget_s, interrupt) if time_budget_s is not None else None
    if timer:
        timer.daemon = True
        timer.start()
    try:
        yield
    finally:
        if timer:
            timer.cancel()
        signal.signal(signal.SIGTERM, before)
