"""A race: many candidates are trained from scratch under ASHA, for a short time most of them, and the best go on.

Candidates compete within a group: searched genotypes with each other, and random ones with each other, so that the
winner of a search meets the winner of as many random draws. What a race chose is claimed only by trainings with fresh
seeds, which follow it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.sections import TuneConfig
from autogan_ray.config.study import StudyConfig
from autogan_ray.results.trial_log import TrialLog
from autogan_ray.retraining.job import Job
from autogan_ray.study.cost import expected_share

SEED = 0
"""Of all candidates. The seeds of the trainings that follow count from the next one."""


def race_study(study: StudyConfig) -> StudyConfig:
    """Returns the study whose recipe the candidates of a race are trained by: that of the study itself, scored at the
    first rung at least, and by an average of the weights that holds nothing of the initial ones.

    (With a decay of .99, after 62 steps still 54 % of an average would be initial weights.)
    """
    recipe, race = study.retrain, study.race
    step = math.ceil(1 / race.grace - 1e-9)
    evaluations = step * math.ceil(recipe.evaluations / step)  # so that an eighth of the training is an evaluation
    scored = recipe.model_copy(update={"evaluations": evaluations, "ema_unbiased": True})
    return study.model_copy(update={"retrain": scored})


def check_length(study: StudyConfig) -> None:
    """Raises ConfigError for a recipe that has fewer steps of D than a race has evaluations."""
    recipe, evaluations = study.retrain, race_study(study).retrain.evaluations
    steps = math.ceil(recipe.kimg * 1000 / recipe.batch_size)
    if steps < evaluations:
        raise ConfigError(
            f"--race: retrain.kimg = {recipe.kimg:g} with retrain.batch_size = {recipe.batch_size} is {steps} "
            f"step{'s' * (steps > 1)} of D, and a race scores its candidates {evaluations} times; give at least "
            f"--kimg {evaluations * recipe.batch_size / 1000:g}"
        )


def race_tune(study: StudyConfig, candidates: int) -> TuneConfig:
    """Returns ASHA's settings for a race by the recipe of ``race_study``, which counts time in its evaluations."""
    evaluations, race = study.retrain.evaluations, study.race
    return study.tune.model_copy(
        update={
            "num_trials": candidates,
            "scheduler": "asha",
            "prune_by": "fid",
            "max_evaluations": evaluations,
            "grace_evaluations": math.ceil(evaluations * race.grace - 1e-9),
            "reduction_factor": race.reduction_factor,
        }
    )


def as_candidate(job: Job, group: str) -> Job:
    """Returns the job as a candidate of a race: trained by the race's recipe, until ASHA stops it."""
    study = race_study(job.study)
    return replace(job, study=study, stage="race", group=group, fresh_seed=False, finals=job.recipe)


def groups_of(jobs: Iterable[Job]) -> dict[str, list[Job]]:
    """Returns the candidates of each group, in their order."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.group, []).append(job)
    return groups


def standing(jobs: Sequence[Job], logs: Mapping[str, TrialLog]) -> list[Job]:
    """Returns the candidates that have a score, the first of the race first.

    Who came further stands before who was stopped earlier; of those who came as far the lower score stands before.
    """

    def key(job: Job) -> tuple[int, float]:
        log = logs[job.evaluation_id]
        assert log.best is not None
        return -len(log.evaluations), log.best["fid"]

    scored = [job for job in jobs if job.evaluation_id in logs and logs[job.evaluation_id].best is not None]
    return sorted(scored, key=key)


def expected_trainings(study: StudyConfig, candidates: int) -> float:
    """Returns what a race is expected to cost, in whole trainings."""
    tune = race_tune(race_study(study), candidates)
    return candidates * expected_share(tune)


def trainings(jobs: Iterable[Job], logs: Mapping[str, TrialLog]) -> float:
    """Returns what candidates were trained so far, in whole trainings of their recipe."""
    shown = 0.0
    for job in jobs:
        records = logs[job.evaluation_id].records if job.evaluation_id in logs else []
        shown += len(records) / job.study.retrain.evaluations
    return shown
