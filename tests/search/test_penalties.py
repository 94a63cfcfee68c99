"""What remedies add to the logits' loss: closed forms, and gradients against finite differences in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from autogan_ray.config.sections import RemediesConfig
from autogan_ray.nets import supernet
from autogan_ray.nets.cost.expected import ExpectedCost
from autogan_ray.nets.relaxation import ArchitectureParameters
from autogan_ray.search.penalties import mean_entropy, penalty, relative_cost, zero_one
from autogan_ray.spaces.space import Decision

DECISIONS = (Decision("g.a", ("x", "y", "z", "w")), Decision("g.b", ("x", "y")), Decision("g.c", ("x",)))
COST = ExpectedCost(
    DECISIONS,
    {(): 10, (("g.a", "x"),): 4, (("g.a", "z"),): 2, (("g.b", "y"),): 7, (("g.a", "y"), ("g.b", "x")): 24},
)


def logits_of(*dropped: str, scale: float = 1.0) -> ArchitectureParameters:
    found = ArchitectureParameters(DECISIONS, torch.Generator().manual_seed(0))
    values = torch.randn(found.logits.shape, generator=torch.Generator().manual_seed(3)) * scale
    found.logits = torch.nn.Parameter(values.double())
    for choice in dropped:
        found.drop("g.a", choice)
    return found


def value(term: Tensor) -> float:
    return float(term.detach())


def relative(logits: ArchitectureParameters) -> Tensor:
    return relative_cost(logits, COST)


@pytest.mark.parametrize("dropped", [(), ("y",), ("x", "y", "w")])
@pytest.mark.parametrize("term", [mean_entropy, zero_one, relative])
def test_a_gradient_is_that_of_finite_differences(
    term: Callable[[ArchitectureParameters], Tensor], dropped: tuple[str, ...]
) -> None:
    logits = logits_of(*dropped)
    term(logits).backward()
    found, step = logits.logits.grad, 1e-6
    assert found is not None
    for row, decision in enumerate(DECISIONS):
        for column in range(len(decision.choices)):
            ends = []
            for sign in (1, -1):
                with torch.no_grad():
                    logits.logits[row, column] += sign * step
                    ends.append(value(term(logits)))
                    logits.logits[row, column] -= sign * step
            assert float(found[row, column]) == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-8)
            if decision.name == "g.a" and decision.choices[column] in dropped:
                assert found[row, column] == 0
    assert found.abs().sum() > 0


@pytest.mark.parametrize("dropped", [(), ("y",), ("x", "y", "w")])
def test_closed_forms(dropped: tuple[str, ...]) -> None:
    logits = logits_of(*dropped)
    shares = [[p for _, p in row.values()] for row in logits.table().values()]
    assert value(mean_entropy(logits)) == pytest.approx(supernet.mean_entropy(logits.table(), "g"))
    wanted = -sum(sum(p * p for p in row) - 1 + len(row) / 4 for row in shares if len(row) > 1) / 6
    assert value(zero_one(logits)) == pytest.approx(wanted)
    (x, y, z, _), (one, other), _ = shares
    assert value(relative(logits)) == pytest.approx((10 + 4 * x + 2 * z + 7 * other + 24 * y * one) / COST.uniform)
    assert COST.uniform == pytest.approx(10 + 1 + 0.5 + 3.5 + 3)


def test_where_all_is_even_nothing_but_the_cost_pushes_and_its_value_is_one() -> None:
    logits = logits_of(scale=0.0)
    assert value(mean_entropy(logits)) == pytest.approx(1) and value(relative(logits)) == pytest.approx(1)
    (mean_entropy(logits) + zero_one(logits)).backward()
    assert logits.logits.grad is not None and logits.logits.grad.abs().max() < 1e-12
    logits.logits.grad = None
    relative(logits).backward()
    assert logits.logits.grad is not None
    # Down the gradient: from the dearest choice (y, with x of g.b) to the one that costs nothing.
    assert logits.logits.grad[0].argmax() == 1 and logits.logits.grad[0].argmin() == 3


def test_both_push_to_the_choice_that_leads() -> None:
    for term in (mean_entropy, zero_one):
        logits = logits_of()
        term(logits).backward()
        assert logits.logits.grad is not None
        for row in (0, 1):
            choices = len(DECISIONS[row].choices)
            leading = logits.logits[row, :choices].argmax()
            assert logits.logits.grad[row, :choices].argmin() == leading and logits.logits.grad[row, leading] < 0


def test_the_sum_has_each_network_its_own_weights_and_the_entropy_grows() -> None:
    arch_g, arch_d = logits_of(), logits_of("y", scale=0.3)
    costs = {"g": COST, "d": COST}
    entropies = value(mean_entropy(arch_g) + mean_entropy(arch_d))
    for progress in (0.0, 0.25, 1.0):
        found = penalty(arch_g, arch_d, RemediesConfig(entropy_weight=2.0), progress, {})
        assert value(found) == pytest.approx(2 * progress * entropies)
        found = penalty(arch_g, arch_d, RemediesConfig(zero_one_weight=2.0), progress, {})
        assert value(found) == pytest.approx(2 * value(zero_one(arch_g) + zero_one(arch_d)))
    both = RemediesConfig(cost_weight_g=0.5, cost_weight_d=3.0)
    assert value(penalty(arch_g, arch_d, both, 0.0, costs)) == pytest.approx(
        0.5 * value(relative(arch_g)) + 3 * value(relative(arch_d))
    )
    penalty(arch_g, arch_d, RemediesConfig(cost_weight_g=0.5), 0.0, {"g": COST}).backward()
    assert arch_g.logits.grad is not None and arch_d.logits.grad is None
    assert value(penalty(arch_g, arch_d, RemediesConfig(), 1.0, {})) == 0


def test_a_network_with_nothing_to_decide_adds_nothing() -> None:
    empty = ArchitectureParameters((), torch.Generator())
    sure = ArchitectureParameters((Decision("d.a", ("x",)),), torch.Generator())
    for logits in (empty, sure):
        assert value(mean_entropy(logits)) == 0 and value(zero_one(logits)) == 0
    assert not math.isnan(value(penalty(logits_of(), empty, RemediesConfig(zero_one_weight=1.0), 1.0, {})))
