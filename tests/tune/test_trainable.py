"""What a trial reports, and when it leaves a checkpoint to go on from."""

from __future__ import annotations

import io
import json
import time
from base64 import b64decode
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from ray import tune

from autogan_ray.cli.retrain import _with_recipe
from autogan_ray.config.study import load_study_config
from autogan_ray.metrics.evaluation import Score
from autogan_ray.results.grids import GREY
from autogan_ray.training.checkpoint import load_state
from autogan_ray.tune import network_trial, trainable
from autogan_ray.tune.trainable import _Reporter, saved_state
from autogan_ray.tune.trial_voice import URGENT, TrialVoice

PLANNED = 6


class Record:
    def __init__(self, evaluation: int, diverged: bool) -> None:
        self.evaluation = evaluation
        self.told = {"evaluation": evaluation, "fid": 1.0, "kimg": 0.1, "diverged": diverged}

    def to_dict(self) -> dict[str, Any]:
        return dict(self.told)


class Loop:
    """Evaluations that take ``seconds`` each of a clock that is ours; the state is how many there were."""

    evaluations = PLANNED
    images = torch.zeros(4, 1, 2, 2, dtype=torch.uint8)

    def __init__(self, clock: list[float], seconds: float, diverges_at: int = 0) -> None:
        self.clock, self.seconds, self.diverges_at, self.done = clock, seconds, diverges_at, 0

    def records(self) -> Iterator[Record]:
        while self.done < (self.diverges_at or PLANNED):
            self.clock[0] += self.seconds
            self.done += 1
            yield Record(self.done, self.done == self.diverges_at)

    @property
    def shown(self) -> torch.Tensor | None:
        return None if self.done == self.diverges_at else self.images + self.done

    def untrained(self) -> Score:
        assert self.done == 0
        return Score(99.0, None, self.images)

    def state_dict(self) -> dict[str, Any]:
        return {"done": self.done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.done = state["done"]


def run(loop: Any, **more: Any) -> None:
    _Reporter(loop, "cpu", **more).run()


class Driver:
    """Takes reports; keeps the state of each checkpoint, as Ray copies it before the trial goes on."""

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []
        self.saved: dict[int, Any] = {}

    def report(self, metrics: dict[str, Any], checkpoint: tune.Checkpoint | None) -> None:
        self.reports.append(metrics)
        if checkpoint is not None:
            self.saved[metrics["evaluation"]] = load_state(Path(checkpoint.path))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    ours = SimpleNamespace(monotonic=lambda: now[0], perf_counter=lambda: now[0], time=time.time)
    monkeypatch.setattr(trainable, "time", ours)  # the module's name for it: the process keeps its own clock
    monkeypatch.setattr(trainable.ray.util, "get_node_ip_address", lambda: "here")
    return now


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    found = Driver()
    monkeypatch.setattr(trainable.tune, "report", found.report)
    return found


@pytest.mark.parametrize(
    ("seconds", "wanted"), [(1.0, [1, 6]), (2.0, [1, 4, 6]), (5.0, [1, 2, 3, 4, 5, 6]), (600.0, [1, 2, 3, 4, 5, 6])]
)
def test_the_first_and_last_evaluation_and_those_after_a_while_leave_checkpoints(
    clock: list[float], driver: Driver, seconds: float, wanted: list[int]
) -> None:
    run(Loop(clock, seconds))
    assert [report["evaluation"] for report in driver.reports] == [1, 2, 3, 4, 5, 6]
    assert list(driver.saved) == wanted
    for evaluation, state in driver.saved.items():
        # All records are in it, also those that were reported without a checkpoint.
        assert [record["evaluation"] for record in json.loads(state["records"])] == list(range(1, evaluation + 1))
        assert state["loop"] == {"done": evaluation}


def test_a_trial_that_diverges_leaves_a_checkpoint_at_its_end(clock: list[float], driver: Driver) -> None:
    run(Loop(clock, 1.0, diverges_at=3))
    assert list(driver.saved) == [1, 3]


def test_a_resumed_trial_repeats_the_evaluations_after_its_checkpoint(clock: list[float], driver: Driver) -> None:
    run(Loop(clock, 2.0))
    saved = driver.saved[4]
    driver.reports.clear()
    driver.saved.clear()
    run(Loop(clock, 2.0), saved=saved)
    # The first report of a resumed trial tells all there was: the driver may have died before it heard of it.
    first, second = (json.loads(report["records"]) for report in driver.reports)
    assert [(record["evaluation"], record["attempt"]) for record in first] == [(1, 0), (2, 0), (3, 0), (4, 0), (5, 1)]
    assert [(record["evaluation"], record["attempt"], record["wall_s"]) for record in second] == [(6, 1, 12.0)]
    assert list(driver.saved) == [5, 6]


def test_a_resumed_trial_without_a_checkpoint_begins_anew_with_its_next_attempt(
    clock: list[float], driver: Driver
) -> None:
    run(Loop(clock, 1.0), attempt=3)
    told = [json.loads(report["records"]) for report in driver.reports]
    assert [[(record["evaluation"], record["attempt"]) for record in records] for records in told] == [
        [(evaluation, 3)] for evaluation in range(1, 7)
    ]


def test_the_first_trial_tells_what_its_generator_scored_before_its_first_step(
    clock: list[float], driver: Driver
) -> None:
    run(Loop(clock, 2.0), first=True)
    told = [json.loads(report["records"])[0].get("fid_untrained") for report in driver.reports]
    assert told == [99.0, *[None] * 5]
    saved = driver.saved[4]
    driver.reports.clear()
    run(Loop(clock, 2.0), first=True, saved=saved)  # which scores nothing untrained: its loop is trained already
    assert json.loads(driver.reports[0]["records"])[0]["fid_untrained"] == 99.0


def test_pictures_are_sent_once_with_the_evaluation_that_they_are_of(clock: list[float], driver: Driver) -> None:
    run(Loop(clock, 2.0, diverges_at=4), first=True, grids=True)
    sent = [json.loads(report["grids"]) for report in driver.reports]
    assert [list(grids) for grids in sent] == [["0", "1"], ["2"], ["3"], []]
    picture = np.asarray(Image.open(io.BytesIO(b64decode(sent[1]["2"]))))
    assert picture.shape == (2, 11) and set(picture.flat) == {2, GREY}
    driver.reports.clear()
    run(Loop(clock, 2.0))
    assert all(report["grids"] == "{}" for report in driver.reports)


def test_every_setting_that_is_named_where_memory_is_full_can_be_lowered() -> None:
    for key in trainable.LESS_MEMORY:
        assert attrgetter(key)(load_study_config("smoke", {key: 2})) == 2
    for key in network_trial.LESS_MEMORY:
        stored = load_study_config("smoke").to_dict()
        assert attrgetter(key)(_with_recipe(stored, None, None, None, [f"{key}=2"])) == 2


def test_an_older_checkpoint_is_taken_where_the_newest_is_torn_gone_or_no_trials(tmp_path: Path) -> None:
    older, torn, gone, other = (tmp_path / name for name in ("older", "torn", "gone", "other"))
    whole = {"loop": {}, "records": "[]", "spent_s": 1.0, "attempt": 0}
    trainable.save_state(older, whole)
    trainable.save_state(torn, whole | {"attempt": 2})
    trainable.save_state(other, {"loop": {}})
    (torn / "state.pt").write_bytes((torn / "state.pt").read_bytes()[:50])

    def saved(own: tune.Checkpoint | None, earlier: list[str], voice: TrialVoice) -> dict[str, Any] | None:
        return saved_state(own, earlier, voice, _Reporter.NEEDED)

    listed, voice = [str(one) for one in (gone, torn, other, older)], TrialVoice()
    assert saved(None, listed, voice) == whole
    said = [text for _, text in voice.take()]
    assert len(said) == 3 and all(text.startswith(URGENT) for text in said)
    assert str(torn) in said[1] and "taking an older checkpoint" in said[1] and "records" in said[2]
    assert saved(tune.Checkpoint(str(torn)), listed, voice) == whole
    assert saved(None, listed[:3], voice) is None and saved(None, [], voice) is None
