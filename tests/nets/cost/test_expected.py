"""The expected cost: what enumeration gives, at sure decisions the derived network's own, and a bound elsewhere."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch

from autogan_ray.nets.cost.count import count_macs, count_parameters, genotype_cost
from autogan_ray.nets.cost.expected import ExpectedCost, expected_cost
from autogan_ray.nets.gan import Generator
from autogan_ray.nets.shape import Shape
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.space import SearchSpace

KINDS = ("macs", "params")


def changed(name: str, **choices: Any) -> SearchSpace:
    """A shipped space with less to choose from, so that all its genotypes can be counted."""
    values = load_space(name).to_dict()
    values["generator"].update(choices)
    return SearchSpace.from_dict(values)


def shape_of(size: int) -> Shape:
    return Shape(size, 1, 4, 4, 12)


def sure(cost: ExpectedCost, choices: dict[str, str]) -> int:
    """The cost at sure decisions."""
    return sum(price for when, price in cost.prices.items() if when <= set(choices.items()))


def one_hot(cost: ExpectedCost, choices: dict[str, str]) -> torch.Tensor:
    shares = torch.zeros(len(cost.decisions), max(len(d.choices) for d in cost.decisions), dtype=torch.float64)
    for row, decision in enumerate(cost.decisions):
        shares[row, decision.choices.index(choices[decision.name])] = 1
    return shares


SMALL = {
    "dag": changed("alphagan/fixed", choices={"up": ["deconv_2x2", "nearest"], "normal": ["conv_1x1", "sep_conv_3x3"]}),
    "block": changed("autogan/fixed", norm=["batch"], up=["deconv", "nearest"], shortcut=["yes"]),
}


@pytest.mark.parametrize(("name", "size", "number"), [("dag", 4, 2**5), ("block", 8, 2**5)])
def test_it_is_the_mean_over_all_genotypes_drawn_decision_by_decision(name: str, size: int, number: int) -> None:
    space, shape, rng = SMALL[name], shape_of(size), torch.Generator().manual_seed(1)
    costs = {kind: expected_cost(space, shape, "g", kind) for kind in KINDS}
    decisions = costs["macs"].decisions
    widest = max(len(decision.choices) for decision in decisions)
    shares = torch.zeros(len(decisions), widest, dtype=torch.float64)
    for row, decision in enumerate(decisions):
        drawn = torch.rand(len(decision.choices), generator=rng, dtype=torch.float64)
        shares[row, : len(drawn)] = drawn / drawn.sum()
    wanted, uniform, found = dict.fromkeys(KINDS, 0.0), dict.fromkeys(KINDS, 0.0), 0
    for picked in itertools.product(*(range(len(decision.choices)) for decision in decisions)):
        choices = {d.name: d.choices[at] for d, at in zip(decisions, picked, strict=True)}
        network = Generator(space, shape, choices)
        real = {"macs": count_macs(network, torch.zeros(1, 12)), "params": count_parameters(network)}
        chance = math.prod(float(shares[row, at]) for row, at in enumerate(picked))
        for kind in KINDS:
            assert sure(costs[kind], choices) == real[kind]
            assert float(costs[kind](one_hot(costs[kind], choices))) == real[kind]
            wanted[kind] += chance * real[kind]
            uniform[kind] += real[kind] / number
        found += 1
    assert found == number
    for kind in KINDS:
        assert float(costs[kind](shares)) == pytest.approx(wanted[kind], rel=1e-12)
        assert costs[kind].uniform == pytest.approx(uniform[kind], rel=1e-12)


@pytest.mark.parametrize("name", ["adversarialnas", "alphagan/eagan", "autogan/adversarialnas", "handmade"])
def test_at_sure_decisions_it_is_the_cost_of_the_genotype(name: str) -> None:
    space, shape = load_space(name), shape_of(8)
    costs = {f"{kind}_{network}": expected_cost(space, shape, network, kind) for network in "gd" for kind in KINDS}
    for seed in range(2):
        genotype = space.random(8, seed)
        real = genotype_cost(space, shape, genotype)
        for key, cost in costs.items():
            if key.startswith("params"):
                assert sure(cost, genotype.choices) == real[key]
            else:
                assert sure(cost, genotype.choices) >= real[key]
        # Every operation that is there runs where none of them is "none".
        full = {
            d.name: next(c for c in d.choices[seed % len(d.choices) :] + d.choices if c != "none")
            for d in space.decisions(8)
        }
        real = genotype_cost(space, shape, space.genotype(full, 8))
        assert {key: sure(cost, full) for key, cost in costs.items()} == real


def test_an_operation_whose_node_nothing_reads_is_counted_though_it_does_not_run() -> None:
    space, shape = load_space("adversarialnas"), shape_of(8)
    cost = expected_cost(space, shape, "g", "macs")
    choices = {d.name: next(c for c in d.choices if c != "none") for d in space.decisions(8)}
    unread = choices | {"g.cell1.e0": "none", "g.cell1.e2": "none"}
    real = genotype_cost(space, shape, space.genotype(unread, 8))["macs_g"]
    idle = cost.prices[frozenset({("g.cell1.u0", unread["g.cell1.u0"])})]
    assert idle > 0 and sure(cost, unread) - real == idle
