"""What a study is said to take: the expected course of ASHA, and seconds that are timed once."""

from __future__ import annotations

import itertools
import json
import statistics
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from ray.tune.schedulers.async_hyperband import _Bracket

from autogan_ray.cli.main import main
from autogan_ray.config.sections import TuneConfig
from autogan_ray.config.study import load_study_config
from autogan_ray.search.timing import SearchTimes
from autogan_ray.study import cost
from autogan_ray.study.cost import Times, expected_share, expected_times, going_past, stages
from autogan_ray.study.plan import Plan, make_plan
from autogan_ray.training.images.sources import Glance

DIGITS = Glance("digits", 1797, 8, 1, 10)


def plan_of(name: str = "smoke", gpus: int = 0, **changes: Any) -> Plan:
    study = load_study_config(name, {key.replace("__", "."): value for key, value in changes.items()})
    return make_plan(study, Path("results") / name, gpus, cpus=2)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, str | None, int]]:
    """Searches are not timed but noted, and the same for all: 1 s a step, 2 s after the warm-up, 3 s an evaluation."""
    found: list[tuple[str, str | None, int]] = []

    def time_search(study: Any, trial: Any, space: Any, data: Any, n_real: int, *_: Any) -> SearchTimes:
        found.append((trial.space, trial.search.relaxation, n_real))
        return SearchTimes(1.0, 2.0, 3.0)

    monkeypatch.setattr("autogan_ray.search.timing.time_search", time_search)
    monkeypatch.setenv("AUTOGAN_RAY_CACHE", str(tmp_path))
    return found


@pytest.mark.parametrize(("trials", "factor"), [(2, 3.0), (12, 3.0), (64, 4.0), (30, 1.5)])
def test_as_many_trials_go_past_a_rung_as_rays_asha_lets_go_on(trials: int, factor: float) -> None:
    rng, gone = np.random.default_rng(0), []
    for _ in range(2000):
        bracket = _Bracket(min_t=1, max_t=100, reduction_factor=factor, s=0)
        named = [(SimpleNamespace(trial_id=f"t{index}"), reward) for index, reward in enumerate(rng.random(trials))]
        gone.append(sum(bracket.on_result(trial, 1, reward) == "CONTINUE" for trial, reward in named))
    assert going_past(trials, factor) == pytest.approx(statistics.fmean(gone), rel=0.02)


def test_between_whole_numbers_of_trials_the_expectation_grows_evenly() -> None:
    assert [going_past(trials, 3.0) for trials in (0.5, 1.0)] == [0.5, 1.0]
    low, middle, high = (going_past(trials, 3.0) for trials in (4.0, 4.25, 5.0))
    assert middle == pytest.approx(low + 0.25 * (high - low)) and low < high


def test_the_stages_of_a_study_end_at_its_rungs_and_at_its_end() -> None:
    tune = TuneConfig(num_trials=12, max_evaluations=9, grace_evaluations=2)
    ends, going = zip(*stages(tune), strict=True)
    assert ends == (2, 6, 9) and going[0] == 12 and list(going) == sorted(going, reverse=True)
    assert going[1] == pytest.approx(going_past(12, 3.0)) and going[2] == pytest.approx(going_past(going[1], 3.0))
    made = 2 * going[0] + 4 * going[1] + 3 * going[2]
    assert expected_share(tune) == pytest.approx(made / (12 * 9))
    odd = tune.model_copy(update={"reduction_factor": 2.5})
    assert [end for end, _ in stages(odd)] == [2, 5, 9], "a rung between two evaluations is met at the later one"
    whole = tune.model_copy(update={"scheduler": "none"})
    assert stages(whole) == [(9, 12.0)] and expected_share(whole) == 1.0
    short = tune.model_copy(update={"grace_evaluations": 9})
    assert stages(short) == [(9, 12.0)], "no rung before the end"


def test_hours_are_those_of_all_steps_and_evaluations_side_by_side(timed: list[Any]) -> None:
    plan = plan_of(tune__num_trials=8, tune__max_evaluations=4, search__kimg=0.64, search__warmup=0.25)
    assert plan.slots == 2
    found = expected_times(plan, DIGITS)
    assert isinstance(found, Times)
    trial_s = 10 * 1.0 + 30 * 2.0 + 4 * 3.0  # 40 steps, a quarter of them warm-up
    first_s = 10 * 1.0 + 3.0
    past, later = going_past(8, 3.0), going_past(going_past(8, 3.0), 3.0)
    middle_s = 10 * 1.0 + 20 * 2.0 + 3 * 3.0
    pruned_s = 8 * first_s + past * (middle_s - first_s) + later * (trial_s - middle_s)
    assert found.whole_s == pytest.approx(8 * trial_s / 2) and found.pruned_s == pytest.approx(pruned_s / 2)
    assert (found.step_s, found.evaluation_s, found.timed, found.proposable) == (2.0, 3.0, 1, 1)
    assert timed == [("autogan/fixed", "gumbel_hard", 1797)]


def test_no_study_is_shorter_than_a_trial(timed: list[Any]) -> None:
    found = expected_times(plan_of(tune__num_trials=2, tune__max_evaluations=4, search__kimg=0.64), DIGITS)
    assert isinstance(found, Times) and found.pruned_s == found.whole_s


def test_what_the_sweep_chooses_is_timed_each_and_four_at_most(timed: list[Any]) -> None:
    found = expected_times(plan_of("digits"), DIGITS)
    assert isinstance(found, Times) and (found.timed, found.proposable) == (4, 4)
    spaces = ("adversarialnas", "autogan/adversarialnas")
    assert {(space, relaxation) for space, relaxation, _ in timed} == set(
        itertools.product(spaces, ("gumbel_hard", "softmax"))
    )
    timed.clear()
    more = {"choice": ["adversarialnas", "autogan/adversarialnas", "autogan/fixed", "adversarialnas/fixed"]}
    found = expected_times(plan_of("digits", sweep__space=more), DIGITS)
    assert isinstance(found, Times) and (found.timed, found.proposable) == (4, 8)


def test_times_are_kept_until_something_changes_that_they_depend_on(
    timed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def again(**changes: Any) -> int:
        before = len(timed)
        expected_times(plan_of(**changes), DIGITS)
        return len(timed) - before

    assert again() == 1 and again() == 0
    assert again(tune__num_trials=9) == again(description="other") == again(optim__lr_d=0.001) == 0
    assert again(model__channels_g=6) == again(search__batch_size=8) == again(tune__threads=2) == 1
    assert again(metrics__n_fake_search=64) == again(space="adversarialnas") == 1
    monkeypatch.setattr(cost, "cpu_name", lambda: "another processor")
    assert again() == 1


def test_configurations_for_which_no_time_is_left_are_not_timed(
    timed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "LIMIT_S", -1.0)
    found = expected_times(plan_of("digits"), DIGITS)
    assert isinstance(found, Times) and (found.timed, found.proposable) == (1, 4)


def test_what_cannot_be_timed_is_said_and_not_guessed(timed: list[Any], tmp_path: Path) -> None:
    if not cost.driver_device(1) == "cuda":
        assert expected_times(plan_of(gpus=1), DIGITS) == "the study asks for GPUs, and this machine has none"
    assert "compiling takes a minute" in str(
        expected_times(plan_of(compute__compile=True, search__relaxation="softmax"), DIGITS)
    )
    away = {"metrics__extractor": "inception-v3-compat", "metrics__weights": str(tmp_path / "none.pth")}
    assert expected_times(plan_of(**away), DIGITS) == "the extractor's weights are not here yet"
    assert timed == []


def test_a_search_that_does_not_fit_into_memory_is_said_and_stops_nothing(
    timed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*_: Any) -> SearchTimes:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("autogan_ray.search.timing.time_search", too_large)
    threads = torch.get_num_threads()
    assert "does not fit into the free memory of" in str(expected_times(plan_of(tune__threads=7), DIGITS))
    assert torch.get_num_threads() == threads


def test_a_dry_run_prints_hours_and_their_numbers_as_json(
    timed: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["run", "smoke", "--dry-run", "--trials", "8", "--set", "tune.max_concurrent=1"]
    lines = CliRunner().invoke(main, asked).output.splitlines()
    place = next(index for index, line in enumerate(lines) if line.startswith("cost "))
    assert lines[place] == "cost       1.6 kimg without pruning; about 1.054 kimg (66%) with ASHA"
    told = json.loads(CliRunner().invoke(main, [*asked, "--json"]).output)["cost"]
    assert told["step_s"] == 2.0 and told["trials_side_by_side"] == 1 and told["kimg"] == pytest.approx(1.6)
    trial_s = 2 * 1.0 + 11 * 2.0 + 3 * 3.0  # 13 steps, two of them warm-up
    assert told["hours"] == pytest.approx(8 * trial_s / 3600) and told["hours_with_asha"] < told["hours"]
    assert lines[place + 1].startswith("           about 4.4 min without pruning; ")
    assert "1 side by side, 2e+03 ms a step, 3 s an evaluation" in lines[place + 1]
    assert "timed on this machine" in lines[place + 2] and "one configuration" in lines[place + 2]
    refused = CliRunner().invoke(main, ["run", "smoke", "--json"])
    assert refused.exit_code == 2 and "--dry-run" in refused.output
