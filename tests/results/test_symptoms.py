"""Planted failures of a search are recognised and told apart; a healthy search has none."""

from __future__ import annotations

from typing import Any

import pytest

from autogan_ray.results.symptoms import symptoms

CHOICES = ("none", "skip", "conv_3x3")


def record(evaluation: int = 3, chosen: str = "conv_3x3", **changes: Any) -> dict[str, Any]:
    """A healthy evaluation of a network with six edges, but for ``changes``."""
    edges = [f"g.cell1.e{index}" for index in range(6)]
    ups = ["g.cell1.u0"]
    healthy = {
        "evaluation": evaluation,
        "diverged": False,
        "fid": 50.0,
        "fid_derived": 50.0,
        "fid_supernet": 40.0,
        "d_real": 0.6,
        "d_fake": -0.5,
        "grad_norm_arch_g": 0.02,
        "grad_norm_arch_d": 0.03,
        "loss_arch_g": 0.1,
        "loss_arch_d": 1.9,
        "entropy_g": 0.5,
        "entropy_d": 0.4,
        "genotype": {"generator": dict.fromkeys(edges, chosen) | dict.fromkeys(ups, "bilinear"), "discriminator": {}},
        "decisions": {name: {choice: [0.0, 1 / 3] for choice in CHOICES} for name in edges}
        | {name: {"nearest": [0.0, 0.5], "bilinear": [0.0, 0.5]} for name in ups},
    }
    return healthy | changes


def test_a_healthy_search_has_no_symptom() -> None:
    records = [record(1, entropy_g=0.99), record(2, entropy_g=0.7), record(3)]
    assert symptoms(records, 9) == []
    assert symptoms([], 9) == []
    assert symptoms([record(diverged=True, d_real=5.0, d_fake=-5.0)], 9) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"d_real": 1.4, "d_fake": -2.0}, "D is saturated: it scores real images 1.4 and fakes -2"),
        ({"grad_norm_arch_g": 1e-9}, "no gradient reaches G's logits"),
        ({"grad_norm_arch_d": 0.0}, "no gradient reaches D's logits"),
        ({"chosen": "skip"}, "the generator has collapsed to 'skip': so are 6 of the 6 edges"),
        ({"chosen": "none"}, "the generator has collapsed to 'none'"),
        ({"fid_derived": 400.0}, "the derived network scores 10.0 times the mixture's (400 to 40)"),
    ],
)
def test_each_failure_is_named_with_its_figures_and_alone(changes: dict[str, Any], words: str) -> None:
    found = symptoms([record(2), record(3, **changes)], 9)
    assert len(found) == 1 and words in found[0], found


@pytest.mark.parametrize(
    "changes", [{"d_real": 1.4, "d_fake": -0.5}, {"d_real": 0.4, "d_fake": -2.0}, {"grad_norm_arch_g": None}]
)
def test_half_a_failure_is_none(changes: dict[str, Any]) -> None:
    assert symptoms([record(2), record(3, **changes)], 9) == []


def test_the_gap_is_told_between_the_turns_of_the_mixture_and_unknown_before_the_first() -> None:
    wide = record(2, fid_derived=400.0)
    assert "10.0 times the mixture's" in symptoms([record(1), wide, record(3, fid_supernet=None)], 9)[0]
    unscored = [record(1, fid_supernet=None), record(2, fid_supernet=None, fid_derived=400.0)]
    assert symptoms(unscored, 9) == []


def test_a_score_that_doubles_is_a_collapse() -> None:
    assert "risen from 50 to 120" in symptoms([record(1), record(2, fid=120.0)], 9)[0]
    assert symptoms([record(1), record(2, fid=90.0)], 9) == []


def test_decisions_that_fall_too_slowly_are_told_before_the_end_and_not_after() -> None:
    slow = [record(1, entropy_g=0.99), record(2, entropy_g=0.98)]
    found = symptoms(slow, 9)
    assert len(found) == 1 and "ends near 0.91 at this pace; raise optim.lr_arch_g" in found[0]
    assert symptoms([record(1, entropy_g=0.99), record(2, entropy_g=0.90)], 9) == []  # on the way to 0.27
    assert symptoms(slow, 2) == []
    assert symptoms([record(1, entropy_g=1.0, loss_arch_g=None), record(2, entropy_g=1.0)], 9) == []  # warm-up
    assert symptoms([record(1, entropy_d=None), record(2, entropy_d=None)], 9) == []
