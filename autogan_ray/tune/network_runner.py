"""Runs retrainings on Ray: each network is a trial of one run of Tune; in a race ASHA stops the poor ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from autogan_ray.base.errors import MachineError
from autogan_ray.base.signals import check_interrupted, interrupted, last_words
from autogan_ray.config.study import StudyConfig
from autogan_ray.results.retrained import RETRAINED
from autogan_ray.results.trial_log import TrialLog, TrialLogs
from autogan_ray.retraining.job import Job
from autogan_ray.retraining.race import groups_of, race_tune
from autogan_ray.study.study_file import read_about
from autogan_ray.tune.asha import ResumableASHA
from autogan_ray.tune.caches import restore_rungs
from autogan_ray.tune.failures import GiveUp
from autogan_ray.tune.network_recorder import NetworkRecorder, about_job
from autogan_ray.tune.network_trial import NetworkInputs, run_network
from autogan_ray.tune.optuna_search import METRIC, trial_folder_name, trial_name
from autogan_ray.tune.ray_internals import (
    named_tasks,
    named_trainable,
    patched_control_loop,
    trials_in_cluster_processes,
)
from autogan_ray.tune.resume import checkpoints_of
from autogan_ray.tune.runner import EXPERIMENT, Options

if TYPE_CHECKING:
    from autogan_ray.metrics.measure import Measure
    from autogan_ray.tune.recorder import Listener


def run_networks(
    jobs: Sequence[Job],
    measure: Measure,
    study_folder: Path,
    options: Options,
    slots: int,
    listener: Listener | None,
) -> dict[str, TrialLog]:
    """Trains all jobs that are not finished, inside the block of ``cluster`` and of ``sole_driver``.

    Candidates of a race and trainings to the end may not be mixed.

    Args:
        measure: data, extractor and real statistics, by which every job is trained and scored.
        study_folder: where the results go.
        options: where Ray keeps its checkpoints, and whether its cluster was started elsewhere.
        slots: number of networks side by side.
        listener: called with each event of the recorder; None for silence.

    Returns the logs of the jobs, by their ids.
    """
    folder = (study_folder / RETRAINED).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    storage = options.storage_of(folder, f"{read_about(study_folder)['study_id']}-{RETRAINED}")
    race = jobs[0].stage == "race"
    files = {group: _rungs_file(folder, own) for group, own in groups_of(jobs).items()} if race else {}
    about = {job.evaluation_id: about_job(job, measure) for job in jobs}
    recorder = NetworkRecorder(folder, storage, jobs, about, list(files.values()), listener)
    for text in _restore_rungs(jobs, files, recorder.logs):
        recorder.note(text)
    recorder.record_ends()
    waiting = [job for job in jobs if not recorder.is_finished(job)]
    for job in waiting:
        if faults := recorder.logs.get(job.evaluation_id).faults:
            recorder.note(f"{job.label}: its log is damaged ({'; '.join(faults)}), and it is trained again")
    if waiting:
        experiment = f"{storage}/{EXPERIMENT}"
        searcher = GivenNetworks([_given(job, recorder, folder, experiment) for job in waiting])
        scheduler = Race(_groups_of_asha(jobs, files)) if race else None
        tuner = _tuner(waiting, measure, storage, searcher, scheduler, recorder, slots)
        here = nullcontext() if options.address is not None else trials_in_cluster_processes()
        with last_words(recorder.finish), named_tasks(jobs[0].study.name), patched_control_loop(), here:
            try:
                tuner.fit()
            except Exception:
                if not interrupted():  # else the signal has ended Ray's processes too
                    raise
    recorder.finish()
    check_interrupted()
    if recorder.given_up:
        raise MachineError(f"ended, as the networks that are left would fail too: {recorder.given_up}")
    return {job.evaluation_id: recorder.logs.get(job.evaluation_id) for job in jobs}


def _tuner(
    jobs: Sequence[Job],
    measure: Measure,
    storage: str,
    searcher: Searcher,
    scheduler: FIFOScheduler | None,
    recorder: NetworkRecorder,
    slots: int,
) -> tune.Tuner:
    """Tune for jobs that are to be trained."""
    config = jobs[0].study
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    return tune.Tuner(
        _trainable(config, NetworkInputs(config.name, {job.evaluation_id: job for job in jobs}, measure)),
        tune_config=tune.TuneConfig(
            num_samples=len(jobs),
            search_alg=searcher,
            scheduler=scheduler,
            max_concurrent_trials=slots,
            trial_dirname_creator=trial_folder_name,
            trial_name_creator=partial(trial_name, config.name),
            reuse_actors=_reused(config),
        ),
        run_config=tune.RunConfig(
            name=EXPERIMENT,
            storage_path=storage,
            callbacks=[recorder],
            stop=GiveUp(lambda: recorder.given_up),
            failure_config=tune.FailureConfig(max_failures=config.tune.max_failures),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=2),
            verbose=0,
        ),
    )


def _trainable(config: StudyConfig, inputs: NetworkInputs) -> Any:
    """How Tune trains a network, with its resources: by a worker of Ray Train for each GPU where there are several."""
    cpus, gpus = config.tune.cpus_per_trial, config.tune.gpus_per_trial
    if gpus <= 1:
        function: Any = tune.with_parameters(run_network, inputs=inputs)
        function = tune.with_resources(function, {"cpu": cpus, "gpu": gpus})
        return named_trainable(function, config.name, _reused(config))
    from autogan_ray.tune.network_workers import TRIAL, Workers, run_network_on_several, wait_for_workers

    workers = Workers(config.name, ray.put(inputs), int(gpus), cpus / gpus)
    function = tune.with_resources(tune.with_parameters(run_network_on_several, workers=workers), TRIAL)
    return named_trainable(function, config.name, _reused(config), at_the_end=wait_for_workers)


def _reused(config: StudyConfig) -> bool:
    """Whether a process serves several networks."""
    return config.tune.gpus_per_trial == 0


def _given(job: Job, recorder: NetworkRecorder, folder: Path, experiment: str) -> dict[str, Any]:
    """What Ray is told of a job: its name, and where it left off."""
    log = recorder.logs.get(job.evaluation_id)
    earlier = folder / job.evaluation_id / "checkpoint"  # of a version that trained without Ray
    found = checkpoints_of(log, folder, experiment) or ([str(earlier)] if earlier.is_dir() else [])
    return {"trial_id": job.evaluation_id, "group": job.group, "checkpoints": found}


def _rungs_file(folder: Path, jobs: Sequence[Job]) -> Path:
    """Where a group of a race keeps its rungs: a race with more candidates of the same recipe is the same race."""
    return folder / f"rungs-{jobs[0].group}-{jobs[0].recipe}.json"


def _groups_of_asha(jobs: Sequence[Job], files: Mapping[str, Path]) -> dict[str, ResumableASHA]:
    return {group: ResumableASHA(_study_of(own), files[group]) for group, own in groups_of(jobs).items()}


def _study_of(jobs: Sequence[Job]) -> StudyConfig:
    """The study of a group of candidates, with the ASHA that judges them."""
    return jobs[0].study.model_copy(update={"tune": race_tune(jobs[0].study, len(jobs))})


def _restore_rungs(jobs: Sequence[Job], files: Mapping[str, Path], logs: TrialLogs) -> list[str]:
    """Builds the rungs of a race again where they do not agree with its logs; returns why, in words."""
    done, lines = [], logs.in_order()
    for group, own in groups_of(jobs).items() if files else ():
        judged = {"stage": "race", "recipe": own[0].recipe}
        configs = {log.trial_id: log.about.get("config", {}) for log in logs}
        names = {
            name
            for name, config in configs.items()
            if config.get("group") == group and judged.items() <= config["row"].items()
        }
        done += restore_rungs(_study_of(own), files[group], [line for line in lines if line[0] in names], logs)
    return done


class GivenNetworks(Searcher):
    """Gives Ray a list of trials, in their order."""

    def __init__(self, configs: Sequence[dict[str, Any]]) -> None:
        super().__init__(metric=METRIC, mode="min")
        self._waiting = list(configs)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        return self._waiting.pop(0) if self._waiting else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Takes no notice: nothing is learned from an end."""


class Race(FIFOScheduler):
    """Several races at once: each group of candidates has an ASHA of its own."""

    def __init__(self, groups: Mapping[str, ResumableASHA]) -> None:
        super().__init__()
        self._groups = dict(groups)

    def _of(self, trial: Trial) -> ResumableASHA:
        return self._groups[trial.config["group"]]

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self._of(trial).on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        return self._of(trial).on_trial_result(tune_controller, trial, result)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        self._of(trial).on_trial_complete(tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        self._of(trial).on_trial_remove(tune_controller, trial)
