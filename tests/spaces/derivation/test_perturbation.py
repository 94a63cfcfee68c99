"""Choosing by perturbation with made-up scores: planted operations are found, rules hold, ties are as said."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autogan_ray.spaces.derivation.derive import Limit, Rules, derive, obeys
from autogan_ray.spaces.derivation.perturbation import Mixture, perturbed_choices
from autogan_ray.spaces.load import load_space
from tests.spaces.derivation.test_derive import PARAMS, cost, drawn, tiny

SPACE = load_space("adversarialnas")
ORDER = [decision.name for decision in SPACE.decisions(8, "g")]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_a_useful_operation_with_a_small_logit_is_selected_and_the_argmax_misses_it(seed: int) -> None:
    rng = random.Random(seed)
    planted = {d.name: rng.choice([c for c in d.choices if c != "none"]) for d in SPACE.decisions(8, "g")}
    shares = {}
    for decision in SPACE.decisions(8):
        weights = {c: 0.1 if c == planted.get(decision.name) else rng.uniform(1, 2) for c in decision.choices}
        shares[decision.name] = {c: w / sum(weights.values()) for c, w in weights.items()}

    def fid(mixture: Mixture) -> float:
        return 50.0 + sum(planted[name] not in row for name, row in mixture.items())

    found = perturbed_choices(SPACE, shares, 8, Rules(), rng.sample(ORDER, len(ORDER)), fid)
    assert found == planted
    argmax = derive(SPACE, shares, 8)
    assert all(argmax[name] != choice for name, choice in planted.items())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(7, 60), st.none() | st.integers(0, 3), st.booleans())
def test_whatever_the_scores_the_rules_hold(seed: int, params: int, most: int | None, exclude: bool) -> None:
    rules = Rules(exclude, {} if most is None else {"g": most}, {("g", "params"): Limit(params, PARAMS)})
    shares, rng = drawn(tiny(), 4, seed), random.Random(seed)
    order = rng.sample(list(shares), len(shares))

    def fid(mixture: Mixture) -> float | None:
        return rng.choice([None, rng.random()])

    try:
        derive(tiny(), shares, 4, rules)
    except ValueError:
        with pytest.raises(ValueError, match="no connected generator obeys"):
            perturbed_choices(tiny(), shares, 4, rules, order, fid)
        return
    found = perturbed_choices(tiny(), shares, 4, rules, order, fid)
    assert obeys(tiny(), "g", found, 4, rules) and cost(found, PARAMS) <= params


def test_each_choice_is_taken_out_once_while_the_rest_keeps_its_proportions() -> None:
    space = load_space("alphagan/fixed")  # no edge can be none, so every choice is possible
    shares = drawn(space, 8, 2)
    scored: list[Mixture] = []
    settled: list[Mixture] = []

    def fid(mixture: Mixture) -> float:
        scored.append(mixture)
        return 1.0  # all alike: the more probable is kept

    order = list(reversed(shares))
    found = perturbed_choices(space, shares, 8, Rules(), order, fid, lambda mixture: settled.append(dict(mixture)))
    assert found == derive(space, shares, 8)
    calls = iter(scored)
    for index, name in enumerate(order):
        rest = {one: shares[one] for one in order[index + 1 :]} | {one: {found[one]: 1.0} for one in order[:index]}
        for choice, share in shares[name].items():
            mixture = dict(next(calls))
            left = {c: p / (1 - share) for c, p in shares[name].items() if c != choice}
            assert mixture.pop(name) == pytest.approx(left) and mixture == rest
        assert settled[index] == rest | {name: {found[name]: 1.0}}
    assert next(calls, None) is None


def test_a_choice_without_which_images_are_not_finite_is_kept() -> None:
    shares = drawn(tiny(), 4, 0)
    found = perturbed_choices(
        tiny(), shares, 4, Rules(), list(shares), lambda mixture: 1e9 if "conv_3x3" in mixture["g.cell1.a"] else None
    )
    assert found["g.cell1.a"] == "conv_3x3"


def test_a_choice_that_no_network_within_the_limits_makes_is_neither_scored_nor_taken() -> None:
    shares = drawn(tiny(), 4, 0)
    rules = Rules(limits={("g", "params"): Limit(cost({}, PARAMS), PARAMS)})  # nothing that costs anything
    scored: list[Mixture] = []

    def fid(mixture: Mixture) -> float:
        scored.append(mixture)
        return 0.0

    found = perturbed_choices(tiny(), shares, 4, rules, list(shares), fid)
    assert cost(found, PARAMS) == cost({}, PARAMS) and found["g.cell1.u0"] == "nearest"
    costly = ("conv_1x1", "conv_3x3", "deconv_2x2")
    for mixture in scored:
        assert all(c in mixture[n] for n, row in shares.items() if len(mixture[n]) > 1 for c in row if c in costly)


def test_a_choice_that_had_all_the_probability_leaves_the_others_as_equals() -> None:
    shares = drawn(tiny(), 4, 0) | {"g.cell1.u0": {"nearest": 1.0, "deconv_2x2": 0.0}}
    seen = []

    def fid(mixture: Mixture) -> float:
        seen.append(mixture["g.cell1.u0"])
        return float("nearest" in mixture["g.cell1.u0"])

    assert perturbed_choices(tiny(), shares, 4, Rules(), list(shares), fid)["g.cell1.u0"] == "deconv_2x2"
    assert seen[:2] == [{"deconv_2x2": 1.0}, {"nearest": 1.0}]
