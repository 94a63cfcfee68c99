"""Runs a study on Ray: gives Tune the values that trials need, lets it work, and leaves tables."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autogan_ray.base.errors import ResultsError
from autogan_ray.base.signals import interrupted, last_words, time_is_up, time_limit
from autogan_ray.results.lock import sole_driver
from autogan_ray.results.trial_log import ENDED
from autogan_ray.study.plan import Plan
from autogan_ray.study.study_extractor import keep_extractor
from autogan_ray.study.study_file import about_data, kept_if_refused, new_about, write_about, write_reals

if TYPE_CHECKING:
    from autogan_ray.metrics.measure import Measure
    from autogan_ray.tune.recorder import Listener, Recorder
    from autogan_ray.tune.resume import UnfinishedTrial

EXPERIMENT = "tune"
JOURNAL = "optuna.journal"
RUNGS = "rungs.json"


@dataclass(frozen=True)
class Options:
    """How a study is run, beside its configuration.

    Args:
        address: of a running cluster; None starts a cluster on this machine, on loopback.
        storage: path or URI for Ray's checkpoints; None keeps them in the study's folder.
        time_budget_s: seconds after which the study ends; None sets no limit.
        command: as typed, for the record.
    """

    address: str | None = None
    storage: str | None = None
    time_budget_s: float | None = None
    command: str = ""

    def storage_of(self, folder: Path, name: str) -> str:
        """Returns the folder or URI of Ray's state of a run.

        Args:
            folder: of the run's results, where its state lies without a storage.
            name: of the run's own folder in a storage that several share.
        """
        if self.storage is None:
            return str(folder.resolve())
        shared = self.storage if "://" in self.storage else str(Path(self.storage).resolve())
        return f"{shared.rstrip('/')}/{name}"


@dataclass(frozen=True)
class Outcome:
    """How a study ended.

    Args:
        ended: number of trials that came to their end.
        evaluations: of all trials, also in earlier runs.
        interrupted: not all trials came to their end.
        over_budget: the study's time was up.
        given_up: why the trials that are left were not tried; None where they were.
    """

    ended: int
    evaluations: int
    interrupted: bool
    over_budget: bool
    given_up: str | None = None


def run_study(
    plan: Plan, measure: Measure, options: Options, listener: Listener | None, about: dict[str, Any] | None
) -> Outcome:
    """Runs a study, or goes on with it, inside the block of ``cluster``.

    A resumed study reads the logs of its trials, which are written as things happen; its rungs and Optuna's journal
    follow from them. Ray's own snapshots are some seconds behind, and with a torn snapshot Ray would begin anew.

    Args:
        measure: data, extractor and real statistics, by which all trials are trained and scored.
        listener: called with each event of the recorder; None for silence.
        about: content of the earlier run's ``study.json`` (from ``check_folder``); None for a new study.

    Raises ResultsError where another process runs this study, or where the storage holds a run that the study's folder
    does not know.
    """
    from autogan_ray.tune.ray_internals import imports_frozen

    plan.folder.mkdir(parents=True, exist_ok=True)
    earlier_s, fresh = (float(about["wall_s"]), False) if about else (0.0, True)
    start = time.monotonic()
    with imports_frozen(), sole_driver(plan.folder):
        about = about or new_about(plan, measure, options.command)
        about |= about_data(plan.study, measure.data) | {"status": "running"}  # the images may have been moved
        storage = options.storage_of(plan.folder, about["study_id"])
        finish = partial(_finish, plan, storage, earlier_s, start)
        given_up = None
        with kept_if_refused(plan.folder):
            write_about(plan.folder, about)
            write_reals(plan.folder, measure.data)
            keep_extractor(about, plan.folder, measure.extractor)
            try:
                with last_words(finish), time_limit(options.time_budget_s):
                    given_up = _fit(plan, measure, storage, listener, fresh, joined=options.address is not None)
            except KeyboardInterrupt:
                pass
            except Exception:
                if not interrupted():  # else the signal has ended Ray's processes too
                    raise
        return replace(finish(over_budget=time_is_up()), given_up=given_up)


def _finish(plan: Plan, storage: str, earlier_s: float, start: float, over_budget: bool = False) -> Outcome:
    """Writes what became of the study, from its folder alone: Ray is asked nothing and may be gone.

    Args:
        earlier_s: seconds that earlier runs took.
        start: of this run, by the monotonic clock.
    """
    recorder = _up_to_date_recorder(plan, storage)
    ended = sum(log.state in ENDED - {"interrupted"} for log in recorder.logs)
    unfinished = ended < plan.study.tune.num_trials
    status = "interrupted" if unfinished else "complete"
    recorder.finish(status=status, finished_at=time.time(), wall_s=earlier_s + time.monotonic() - start)
    evaluations = sum(len(log.evaluations) for log in recorder.logs)
    return Outcome(ended, evaluations, unfinished, over_budget)


def _fit(
    plan: Plan, measure: Measure, storage: str, listener: Listener | None, fresh: bool, joined: bool
) -> str | None:
    """Lets Ray run the trials; returns why it did not try them all, None where it did."""
    import numpy as np
    from ray import tune

    from autogan_ray.training.streams import stream_seed
    from autogan_ray.tune.failures import GiveUp
    from autogan_ray.tune.ray_internals import (
        named_tasks,
        named_trainable,
        patched_control_loop,
        trials_in_cluster_processes,
    )
    from autogan_ray.tune.resume import unfinished_trials
    from autogan_ray.tune.tracking import Tracking
    from autogan_ray.tune.trainable import TrialInputs, run_trial

    study, folder = plan.study, plan.folder.resolve()
    experiment = f"{storage}/{EXPERIMENT}"
    if fresh and tune.Tuner.can_restore(experiment):
        raise ResultsError(f"{experiment} holds an earlier run that {plan.folder} knows nothing of; remove either")
    notes = [] if fresh else _mend(plan, experiment)
    tracking = Tracking(study.name, folder, study.tracking)
    recorder = _up_to_date_recorder(plan, storage, partial(_tell_all, [listener, tracking]))
    for note in notes:
        recorder.note(note)
    waiting, first = unfinished_trials(recorder.logs, folder, experiment)
    to_do = len(waiting) + study.tune.num_trials - first
    if to_do == 0:
        return None  # the driver died after the last trial had ended
    spaces = {name: space.to_dict() for name, space in plan.spaces.items()}
    inputs = TrialInputs(study.to_dict(), spaces, measure)
    function: Any = tune.with_resources(
        tune.with_parameters(run_trial, inputs=inputs),
        {"cpu": study.tune.cpus_per_trial, "gpu": study.tune.gpus_per_trial},
    )
    np.random.seed(stream_seed(study.seed, "asha") % 2**32)  # Ray draws a trial's bracket from the global stream
    tuner = tune.Tuner(
        named_trainable(function, study.name, reused=_reused(plan)),
        tune_config=_tune_config(plan, folder, waiting, first, to_do),
        run_config=tune.RunConfig(
            name=EXPERIMENT,
            storage_path=storage,
            callbacks=[recorder],
            stop=GiveUp(lambda: recorder.given_up),
            failure_config=tune.FailureConfig(max_failures=study.tune.max_failures),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=study.tune.checkpoints),
            verbose=0,
        ),
    )
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    with named_tasks(study.name), patched_control_loop(), nullcontext() if joined else trials_in_cluster_processes():
        try:
            tuner.fit()
        finally:
            tracking.close()
    return recorder.given_up


def _mend(plan: Plan, experiment: str) -> list[str]:
    """Makes the record of an earlier run whole: its logs, then what follows from them; returns what was done."""
    from autogan_ray.results.trial_log import TrialLogs
    from autogan_ray.tune.caches import restore_caches
    from autogan_ray.tune.mending import mend_logs

    folder = plan.folder.resolve()
    logs = TrialLogs(folder)
    done = mend_logs(logs, folder, experiment, plan.study.tune.max_evaluations)
    named = {text.partition(":")[0] for text in done}
    restored = restore_caches(plan.study, folder / JOURNAL, folder / RUNGS, logs)
    return done + [text for text in restored if text.partition(":")[0] not in named]


def _tune_config(plan: Plan, folder: Path, waiting: Sequence[UnfinishedTrial], first: int, to_do: int) -> Any:
    """What Tune is told: who proposes, who stops, and how trials are named.

    Args:
        folder: of the study, absolute.
        waiting: trials of an earlier run.
        first: number of the first new trial.
        to_do: number of trials that are still to be run.
    """
    from ray import tune

    from autogan_ray.tune.asha import ResumableASHA
    from autogan_ray.tune.optuna_search import OptunaSearch, trial_folder_name, trial_name

    study = plan.study
    return tune.TuneConfig(
        num_samples=to_do,
        search_alg=OptunaSearch(study, folder / JOURNAL, waiting, first),
        scheduler=ResumableASHA(study, folder / RUNGS) if study.tune.scheduler == "asha" else None,
        max_concurrent_trials=plan.slots,
        trial_dirname_creator=trial_folder_name,
        trial_name_creator=partial(trial_name, study.name),
        reuse_actors=_reused(plan),
    )


def _reused(plan: Plan) -> bool:
    """Whether a process serves several trials, as a new process costs 4 s of imports.

    On GPUs, where trials last long, each trial gets a new process, and so a new CUDA context.
    """
    return plan.gpus == 0


def _tell_all(listeners: Sequence[Listener | None], event: dict[str, Any]) -> None:
    """A listener that passes an event on."""
    for listener in listeners:
        if listener is not None:
            listener(event)


def _up_to_date_recorder(plan: Plan, storage: str, listener: Listener | None = None) -> Recorder:
    """A recorder of the study, after all ends that earlier runs left unrecorded are in the logs and in the journal.

    Ray acts on a decision of ASHA, and on a trial's last report, some turns of its control loop later. A signal, the
    end of the time or the driver's death may come in between.
    """
    from autogan_ray.tune.asha import stopped_trials
    from autogan_ray.tune.optuna_search import OptunaSearch
    from autogan_ray.tune.recorder import Recorder

    folder = plan.folder.resolve()
    stopped = partial(stopped_trials, folder / RUNGS)
    recorder = Recorder(folder, storage, plan.study.tune.max_evaluations, stopped, listener, plan.study.results.grids)
    recorder.record_ends()
    OptunaSearch(plan.study, folder / JOURNAL).report_ends(recorder.logs)
    return recorder
