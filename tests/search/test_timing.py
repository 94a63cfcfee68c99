"""The times of a search, by a clock that only the search moves."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from autogan_ray.config.methods import METHODS
from autogan_ray.config.study import StudyConfig, load_study_config
from autogan_ray.metrics.features import Extractor
from autogan_ray.search.loop import SearchLoop
from autogan_ray.search.timing import SearchTimes, noise_like, time_search
from autogan_ray.spaces.load import load_space
from tests.distant import Gpu

CPU = torch.device("cpu")


class Search:
    """A clock, and a search that moves it: seconds of its parts by name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
        self.now, self.steps, self.evaluations, self.fakes, self.seconds = 0.0, list[int](), 0, 0, seconds
        clock, batch = self, Extractor.batch

        def step(loop: SearchLoop) -> None:
            kind = "frozen" if loop.warming_up else "moving"
            clock.now += clock.seconds[kind] + clock.seconds.get("first", 0.0) * (not clock.steps)
            if (loop.step_d + 1) % loop.trial.search.d_steps_per_g_step == 0:
                clock.now += clock.seconds.get("generator", 0.0)
            if loop.step_d % loop.trial.search.penalty_every == 0:
                clock.now += clock.seconds.get("penalty", 0.0)
            clock.steps.append(loop.step_d)
            loop.step_d += 1

        def evaluate(loop: SearchLoop) -> None:
            clock.evaluations += 1
            clock.fakes = loop.scorer.evaluator.protocol.n_fake
            clock.now += clock.seconds["evaluation"] + clock.seconds.get("imports", 0.0) * (clock.evaluations == 1)

        def extract(extractor: Extractor, images: torch.Tensor) -> Any:
            clock.now += clock.seconds.get("image", 0.0) * len(images)
            return batch(extractor, images)

        monkeypatch.setattr(SearchLoop, "step", step)
        monkeypatch.setattr(SearchLoop, "evaluate", evaluate)
        monkeypatch.setattr(Extractor, "batch", extract)

    def times(self, limit_s: float = 1000.0, **changes: Any) -> SearchTimes:
        study = study_with(**changes)
        data = noise_like(8, 1, 10, 64)
        space, trial = load_space(study.space), study.trial({}, seed=0)
        return time_search(study, trial, space, data, 600, CPU, limit_s, lambda: self.now)


def study_with(**changes: Any) -> StudyConfig:
    return load_study_config("smoke", {"sweep": {}, **{key.replace("__", "."): one for key, one in changes.items()}})


def test_the_steps_before_and_after_the_warm_up_and_an_evaluation_are_timed_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    search = Search(monkeypatch, frozen=2.0, moving=5.0, evaluation=7.0, first=100.0, imports=30.0)
    assert search.times(search__warmup=0.5) == SearchTimes(2.0, 5.0, 7.0)
    assert search.fakes == 128, "a whole evaluation is timed"
    assert max(search.steps) < 13 and set(search.steps) >= set(range(12)), "the steps of a short search, over again"
    search = Search(monkeypatch, frozen=2.0, moving=5.0, evaluation=7.0)
    assert search.times(search__warmup=0.0) == SearchTimes(0.0, 5.0, 7.0)


def test_a_step_of_d_has_its_share_of_g(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(monkeypatch, frozen=1.0, moving=1.0, generator=10.0, evaluation=7.0)
    found = search.times(search__warmup=0.0, search__d_steps_per_g_step=5)
    assert found.step_s == pytest.approx(3.0)
    search = Search(monkeypatch, frozen=1.0, moving=1.0, penalty=8.0, evaluation=7.0)
    found = search.times(search__warmup=0.0, search__gamma=1.0, search__penalty_every=4)
    assert found.step_s == pytest.approx(3.0), "and its share of a penalty that is taken now and then"


def test_timing_keeps_to_its_limit_and_slow_steps_are_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(monkeypatch, frozen=1.0, moving=1.0, evaluation=3.0)
    search.times(limit_s=4.0, search__warmup=0.0)
    assert search.now == 4.0 + 2 * 3.0
    search = Search(monkeypatch, frozen=1.0, moving=60.0, evaluation=90.0, first=10.0)
    found = search.times(limit_s=4.0, search__warmup=0.0)
    assert found == SearchTimes(0.0, 70.0, 90.0) and len(search.steps) == 1


def test_an_evaluation_that_would_take_long_is_told_by_the_features_of_a_few_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    search = Search(monkeypatch, frozen=1.0, moving=1.0, evaluation=3.0, image=0.5)
    changes = {"metrics__n_fake_search": 100, "metrics__supernet_every": 2}
    found = search.times(limit_s=20.0, **changes)
    assert found.evaluation_s == 0.5 * 100 * 1.5 and search.evaluations == 0


@pytest.mark.parametrize("method", METHODS)
def test_a_search_by_every_method_can_be_timed(method: str) -> None:
    relaxed = {"search__relaxation": None} if method in ("reinforce", "random") else {}
    study = study_with(search__method=method, search__batch_size=4, metrics__n_fake_search=16, **relaxed)
    trial = study.trial({}, seed=0)
    found = time_search(study, trial, load_space(study.space), noise_like(8, 1, 10, 16), 60, CPU, limit_s=0.2)
    assert found.step_s > 0 and found.evaluation_s > 0


def test_on_a_gpu_the_clock_is_read_when_the_device_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    study, calls = study_with(search__batch_size=4, metrics__n_fake_search=16), list[str]()

    def clock() -> float:
        calls.append("read")
        return float(len(calls))

    with Gpu():
        monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: calls.append("wait"))
        data, space = noise_like(8, 1, 10, 16), load_space(study.space)
        time_search(study, study.trial({}, seed=0), space, data, 60, torch.device("cuda"), 9.0, clock)
    reads = [index for index, call in enumerate(calls) if call == "read"]
    assert len(reads) > 5 and all(calls[index - 1] == "wait" for index in reads)


def test_seconds_until_an_evaluation_are_those_of_its_steps_and_of_the_evaluations_before_it() -> None:
    times = SearchTimes(warmup_step_s=1.0, step_s=10.0, evaluation_s=100.0)
    # 40 steps in 4 evaluations; the first 15 are warm-up.
    wanted = [10 + 100, 15 + 50 + 200, 15 + 150 + 300, 15 + 250 + 400]
    assert [times.until(number, 4, 40, 0.375) for number in (1, 2, 3, 4)] == wanted
