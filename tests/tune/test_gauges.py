"""Metrics of a running trial, and the board that draws them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from autogan_ray.tune import gauges
from autogan_ray.tune.gauges import GAUGES, TAGS, set_gauges

from .conftest import ROOT
from .test_trial_text import RECORD


class Gauge:
    made: list[str]
    seen: list[tuple[str, float, dict[str, str]]]

    def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
        assert tag_keys == TAGS and description
        self.name = name
        self.made.append(name)

    def set(self, value: float, tags: dict[str, str]) -> None:
        self.seen.append((self.name, value, tags))


@pytest.fixture
def gauge(monkeypatch: pytest.MonkeyPatch) -> Any:
    Gauge.made, Gauge.seen = [], []
    monkeypatch.setattr(gauges, "Gauge", Gauge)
    gauges._gauges.cache_clear()
    yield Gauge
    gauges._gauges.cache_clear()


def test_gauges_are_made_once_a_process_and_bear_study_and_trial(gauge: Any) -> None:
    set_gauges("digits", "t0003", RECORD)
    set_gauges("digits", "t0004", RECORD | {"fid": 7.0})
    assert gauge.made == [name for name, _ in GAUGES.values()]
    found = {(name, tags["trial"]): value for name, value, tags in gauge.seen}
    assert found["autogan_fid", "t0003"] == 450.21 and found["autogan_fid", "t0004"] == 7.0
    assert all(tags["study"] == "digits" for *_, tags in gauge.seen)
    assert "autogan_entropy_d" not in {name for name, *_ in gauge.seen}  # this record has none


def test_a_diverged_trial_sets_no_gauge_and_an_error_of_ray_ends_no_trial(
    gauge: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_gauges("digits", "t0003", RECORD | {"diverged": True, "fid": 1e9})
    assert gauge.seen == []

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(Gauge, "set", fail)
    set_gauges("digits", "t0003", RECORD)


def test_every_metric_of_the_board_is_one_that_trials_set() -> None:
    board = json.loads((ROOT / "docs" / "grafana" / "trials.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked += [variable["query"] for variable in board["templating"]["list"]]
    named = set(re.findall(r"ray_(\w+)", " ".join(asked)))
    assert named == {name for name, _ in GAUGES.values()}
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
