"""Settings of the game that weights play: what excludes each other is refused with the rule."""

from __future__ import annotations

from typing import Any

import pytest

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.study import load_study_config


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"search.objective": "relativistic"}, "search.objective = 'relativistic' and gamma = 1.0: a gradient penalty"),
        ({"search.gamma": 0.1}, "set search.gamma = 0"),
        ({"retrain.objective": "non_saturating"}, "retrain.objective = 'non_saturating' and gamma = 1.0"),
        ({"retrain.gamma": 0, "retrain.gamma_end": 1.0}, "retrain.objective = 'hinge' and gamma = 0.0"),
    ],
)
def test_penalties_are_refused_beside_compiled_networks_and_neither_by_itself(
    changes: dict[str, Any], words: str
) -> None:
    compiled = {"compute.compile": True, "search.relaxation": "softmax"}
    assert load_study_config("smoke", compiled).compute.compile
    assert not load_study_config("smoke", changes).compute.compile
    with pytest.raises(ConfigError, match=words):
        load_study_config("smoke", compiled | changes)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("search.objective", "wasserstein", "hinge"),
        ("retrain.gamma", -1, "greater than or equal to 0"),
        ("search.augment", "color,cutot", "no augmentation 'cutot'; .*cutout"),
        ("optim.schedule", "exponential", "constant"),
        ("search.penalty_every", 0, "greater than 0"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(key: str, value: object, words: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}.*{words}"):
        load_study_config("smoke", {key: value})


def test_a_sweep_over_the_objective_that_meets_compiled_networks_is_refused_before_anything_runs() -> None:
    sweep = {"sweep.search.objective": {"choice": ["hinge", "relativistic"]}, "search.relaxation": "softmax"}
    assert "search.objective" in load_study_config("smoke", sweep).sweep
    with pytest.raises(ConfigError, match=r"where the sweep proposes search\.objective = relativistic"):
        load_study_config("smoke", sweep | {"compute.compile": True})
