"""Who takes part in a race, by which recipe, and who wins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.search_length import rung_evaluations
from autogan_ray.config.study import StudyConfig, load_study_config
from autogan_ray.results.trial_log import TrialLog
from autogan_ray.retraining.job import Job
from autogan_ray.retraining.race import (
    as_candidate,
    check_length,
    expected_trainings,
    groups_of,
    race_study,
    race_tune,
    standing,
    trainings,
)
from autogan_ray.retraining.wanted import finals_of, random_count
from autogan_ray.spaces.load import load_space


def job(draw: int, **changes: Any) -> Job:
    space, study = (
        load_space("adversarialnas"),
        load_study_config("digits", {f"retrain.{k}": v for k, v in changes.items()}),
    )
    return Job("random", f"random {draw}", space.random(8, draw), space, 0, None, {}, study, Path(f"here/{draw}"))


def log(job: Job, *scores: float | None) -> TrialLog:
    made = TrialLog(job.evaluation_id)
    for evaluation, fid in enumerate(scores, start=1):
        record = {"evaluation": evaluation, "attempt": 0, "fid": fid, "diverged": fid is None}
        made.apply({"kind": "evaluation", "record": record})
    return made


@pytest.mark.parametrize(("evaluations", "wanted", "rungs"), [(4, 8, [1, 3]), (9, 16, [2, 6]), (24, 24, [3, 9])])
def test_a_race_is_scored_often_enough_for_its_first_rung(evaluations: int, wanted: int, rungs: list[int]) -> None:
    raced = race_study(job(0, evaluations=evaluations).study)
    assert raced.retrain.evaluations == wanted and raced.retrain.ema_unbiased
    tune = race_tune(raced, 6)
    assert rung_evaluations(tune.grace, tune.reduction_factor, tune.max_evaluations) == rungs
    assert raced.retrain.kimg == job(0).study.retrain.kimg  # the recipe is otherwise the study's


@pytest.mark.parametrize("grace", [0.125, 0.1, 0.3, 0.5])
def test_no_candidate_is_stopped_before_the_promised_part_of_its_training(grace: float) -> None:
    for evaluations in range(1, 41):
        study = load_study_config("digits", {"retrain.evaluations": evaluations, "race.grace": grace})
        tune = race_tune(race_study(study), 6)
        first = rung_evaluations(tune.grace, tune.reduction_factor, tune.max_evaluations)[0] / tune.max_evaluations
        assert grace <= first <= 2 * grace and tune.max_evaluations >= evaluations


def test_a_race_stops_candidates_by_their_scores_also_where_the_search_weighed_costs() -> None:
    two = {"tune.objectives": "fid,macs_g", "tune.prune_by": "front", "tune.scheduler": "none"}
    tune = race_tune(race_study(load_study_config("digits", two)), 6)
    assert (tune.scheduler, tune.prune_by) == ("asha", "fid")


def test_candidates_never_share_an_id_or_a_recipe_with_trainings_to_the_end() -> None:
    for unbiased in (False, True):  # the recipe may have that average itself, and eight evaluations
        final = job(0, ema_unbiased=unbiased, evaluations=8)
        candidate = as_candidate(final, "random")
        assert candidate.recipe != final.recipe and candidate.evaluation_id != final.evaluation_id
        assert candidate.recipe.startswith("race-") and not candidate.fresh_seed and final.fresh_seed


def test_widths_of_trials_are_the_networks_and_not_the_recipes() -> None:
    own = load_study_config("digits").model.model_dump()
    plain, wide = (replace(job(0), model=own | changes) for changes in ({}, {"channels_g": 64}))
    assert plain.recipe == wide.recipe and as_candidate(plain, "a").recipe == as_candidate(wide, "a").recipe
    assert plain.evaluation_id != wide.evaluation_id
    assert plain.evaluation_id == f"random-{plain.genotype.genotype_id}-{plain.recipe}-s0"
    assert as_candidate(plain, "a").recipe == f"race-{plain.recipe}"


def test_who_came_further_stands_first_and_then_who_scored_better() -> None:
    jobs = [as_candidate(job(draw), group) for draw, group in enumerate(["a", "a", "a", "a", "b"])]
    scores = [(9.0, 8.0, 7.0), (9.0, 3.0, 6.0), (1.0,), (None,), (5.0,)]
    logs = {each.evaluation_id: log(each, *values) for each, values in zip(jobs, scores, strict=True)}
    groups = groups_of(jobs)
    assert [each.name for each in standing(groups["a"], logs)] == ["random 1", "random 0", "random 2"]
    assert [each.name for each in standing(groups["b"], logs)] == ["random 4"]
    assert trainings(groups["a"], logs) == pytest.approx((3 + 3 + 1 + 1) / 8)
    assert trainings(jobs, {}) == 0


def test_winners_are_trained_again_with_seeds_that_chose_nothing() -> None:
    study = job(0).study
    candidate = as_candidate(job(3), "random")
    finals = finals_of([candidate], study, 3)
    assert [(each.seed, each.stage, each.chosen_by, each.fresh_seed) for each in finals] == [
        (seed, "final", "race", True) for seed in (1, 2, 3)
    ]
    assert {each.recipe for each in finals} == {job(3).recipe} and candidate.seed == 0
    assert [each.folder.name for each in finals] == [each.evaluation_id for each in finals]


def test_what_a_race_costs_grows_slower_than_its_candidates() -> None:
    study = job(0).study
    costs = [expected_trainings(study, count) for count in (2, 4, 8, 16)]
    assert costs == sorted(costs) and costs[0] < 2 and 2 < costs[2] < 4 and costs[3] < 2 * costs[2]


def test_how_many_random_genotypes_are_asked_for() -> None:
    assert [random_count(name) for name in ("random", "random:8", "autogan-a", "randomly")] == [0, 8, None, None]
    for wrong in ("random:", "random:0", "random:x", "random:-1", "random:99999"):
        with pytest.raises(ConfigError, match="write a number from 1 to 9999"):
            random_count(wrong)


def test_a_recipe_with_fewer_steps_than_evaluations_is_no_race() -> None:
    def study(kimg: float) -> StudyConfig:
        return load_study_config("digits", {"retrain.kimg": kimg, "retrain.batch_size": 16, "retrain.evaluations": 4})

    check_length(study(0.128))
    with pytest.raises(ConfigError, match=r"is 7 steps of D, .* 8 times; give at least --kimg 0\.128"):
        check_length(study(0.112))
