"""Planted failures of a search are recognised and told apart; a healthy search has none."""

from __future__ import annotations

from typing import Any

import pytest

from autogan_ray.results.symptoms import symptoms
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.space import SearchSpace

SPACE = SearchSpace.from_dict(
    {
        "name": "six edges",
        "generator": {
            "kind": "dag",
            "choices": {"normal": ["none", "skip", "conv_3x3"], "up": ["nearest", "bilinear"]},
            "cell": {
                "nodes": ["n0", "out"],
                "output": "out",
                "edges": [
                    {"name": "u0", "from": "in", "to": "n0", "choices": "up"},
                    *({"name": f"e{index}", "from": "n0", "to": "out", "choices": "normal"} for index in range(6)),
                ],
            },
        },
        "discriminator": {"kind": "autogan_fixed"},
    }
)


def record(evaluation: int = 3, chosen_edge: str = "conv_3x3", **changes: Any) -> dict[str, Any]:
    """A healthy evaluation of a network with six edges, but for ``changes``."""
    chosen = {"g.cell1.u0": "bilinear"} | {f"g.cell1.e{index}": chosen_edge for index in range(6)}
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
        "genotype": {"image_size": 4, "generator": chosen, "discriminator": {}},
    }
    return healthy | changes


def test_a_healthy_search_has_no_symptom() -> None:
    records = [record(1, entropy_g=0.99), record(2, entropy_g=0.7), record(3)]
    assert symptoms(records, 9, SPACE) == []
    assert symptoms([], 9, SPACE) == []
    assert symptoms([record(diverged=True, d_real=5.0, d_fake=-5.0)], 9, SPACE) == []


def test_only_the_hinge_loss_has_margins_to_saturate_at() -> None:
    sure = [record(2), record(3, d_real=9.0, d_fake=-9.0)]
    assert "D is saturated" in symptoms(sure, 9, SPACE)[0]
    for objective in ("relativistic", "non_saturating"):
        assert symptoms(sure, 9, SPACE, {"search": {"objective": objective}}) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"d_real": 1.4, "d_fake": -2.0}, "D is saturated: it scores real images 1.4 and fakes -2"),
        ({"grad_norm_arch_g": 1e-9}, "no gradient reaches G's logits"),
        ({"grad_norm_arch_d": 0.0}, "no gradient reaches D's logits"),
        ({"chosen_edge": "skip"}, "the generator has collapsed to 'skip': so are 6 of the 6 edges"),
        ({"chosen_edge": "none"}, "the generator has collapsed to 'none'"),
        ({"fid_derived": 400.0}, "the derived network scores 10.0 times the mixture's (400 to 40)"),
    ],
)
def test_each_failure_is_named_with_its_figures_and_alone(changes: dict[str, Any], words: str) -> None:
    found = symptoms([record(2), record(3, **changes)], 9, SPACE)
    assert len(found) == 1 and words in found[0], found


def test_a_generator_without_normalisation_has_not_collapsed_to_no_connection() -> None:
    space = load_space("autogan/fixed")
    choices = {d.name: "none" if "none" in d.choices else d.choices[-1] for d in space.decisions(32)}
    assert list(choices.values()).count("none") == 3
    genotype = space.genotype(choices, 32).to_dict()
    assert symptoms([record(2), record(3, genotype=genotype)], 9, space) == []


@pytest.mark.parametrize(
    "changes", [{"d_real": 1.4, "d_fake": -0.5}, {"d_real": 0.4, "d_fake": -2.0}, {"grad_norm_arch_g": None}]
)
def test_half_a_failure_is_none(changes: dict[str, Any]) -> None:
    assert symptoms([record(2), record(3, **changes)], 9, SPACE) == []


def test_the_gap_is_told_between_the_turns_of_the_mixture_and_unknown_before_the_first() -> None:
    wide = record(2, fid_derived=400.0)
    assert "10.0 times the mixture's" in symptoms([record(1), wide, record(3, fid_supernet=None)], 9, SPACE)[0]
    unscored = [record(1, fid_supernet=None), record(2, fid_supernet=None, fid_derived=400.0)]
    assert symptoms(unscored, 9, SPACE) == []


def test_a_score_that_doubles_is_a_collapse() -> None:
    assert "risen from 50 to 120" in symptoms([record(1), record(2, fid=120.0)], 9, SPACE)[0]
    assert symptoms([record(1), record(2, fid=90.0)], 9, SPACE) == []


def test_decisions_that_fall_too_slowly_are_told_before_the_end_and_not_after() -> None:
    slow = [record(1, entropy_g=0.99), record(2, entropy_g=0.98)]
    found = symptoms(slow, 9, SPACE)
    assert len(found) == 1 and "ends near 0.91 at this pace; raise optim.lr_arch_g" in found[0]
    assert symptoms([record(1, entropy_g=0.99), record(2, entropy_g=0.90)], 9, SPACE) == []  # on the way to 0.27
    assert symptoms(slow, 2, SPACE) == []
    assert symptoms([record(1, entropy_g=1.0, loss_arch_g=None), record(2, entropy_g=1.0)], 9, SPACE) == []  # warm-up
    assert symptoms([record(1, entropy_d=None), record(2, entropy_d=None)], 9, SPACE) == []
