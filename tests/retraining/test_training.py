"""A retraining by itself, without Ray: saved and loaded between two points, and what it leaves when it diverges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from autogan_ray.config.study import load_study_config
from autogan_ray.metrics.measure import Measure, prepare
from autogan_ray.retraining.job import Job
from autogan_ray.retraining.training import Retraining
from autogan_ray.spaces.load import load_space


@pytest.fixture(scope="module")
def measure(own_cache: Path) -> Measure:
    study = load_study_config("smoke", {})
    return prepare(study.data, study.metrics)


def job(folder: Path) -> Job:
    study = load_study_config("smoke", {"retrain.evaluations": 4})
    space = load_space("adversarialnas")
    model = study.model.model_dump()
    return Job("random", "random 0", space.random(8, 0), space, 0, None, model, study, folder)


TIMING = ("timestamp", "images_per_s", "wall_s", "peak_mem_mib", "attempt")


def told(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in point.items() if key not in TIMING} for point in points]


def test_a_retraining_that_was_saved_goes_on_to_the_same_scores(measure: Measure, tmp_path: Path) -> None:
    whole = Retraining(job(tmp_path / "whole"), measure)
    result = whole.run()
    first = Retraining(job(tmp_path / "first"), measure)
    points = first.points()
    next(points), next(points)
    second = Retraining(job(tmp_path / "second"), measure)
    second.load_state_dict(first.state_dict())
    rest = list(second.points())
    assert [point["evaluation"] for point in rest] == [3, 4] and told(second.curve) == told(whole.curve)
    again = second.finish()
    for name in ("fid", "kid_mean", "is_mean", "precision", "recall", "kimg"):
        assert again["row"][name] == result["row"][name]
    assert again["fid_untrained"] == result["fid_untrained"] is not None


def test_a_training_that_diverges_ends_and_its_best_evaluation_before_is_kept(measure: Measure, tmp_path: Path) -> None:
    broken = Retraining(job(tmp_path / "broken"), measure)
    points = broken.points()
    first = next(points)
    with torch.no_grad():
        next(iter(broken.loop.discriminator.parameters())).fill_(float("nan"))
    assert [(point["fid"], point["diverged"]) for point in points] == [(None, True)], "it ends there"
    result = broken.finish()
    assert result["row"]["kimg"] == first["kimg"] and result["row"]["fid"] is not None
    assert [point["diverged"] for point in result["curve"]] == [False, True]


def test_a_training_that_diverges_at_once_has_a_row_without_scores(measure: Measure, tmp_path: Path) -> None:
    wild = job(tmp_path / "wild")
    recipe = wild.study.retrain.model_copy(update={"lr_g": 1e30, "lr_d": 1e30})
    wild = replace(wild, study=wild.study.model_copy(update={"retrain": recipe}))
    result = Retraining(wild, measure).run()
    assert len(result["curve"]) == 1 and result["curve"][0]["diverged"]
    assert result["row"]["fid"] is None and result["row"]["kid_mean"] is None and result["fid_untrained"] is not None
