"""Decisions that lost choices: probability 0, no draw, no computation, finite gradients, kept in the state."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autogan_ray.config.sections import DeriveConfig
from autogan_ray.nets.compute import computed_plainly
from autogan_ray.nets.cost.limits import rules_of
from autogan_ray.nets.gan import Generator
from autogan_ray.nets.mixed_op import MixedOp
from autogan_ray.nets.relaxation import ArchitectureParameters, MixtureSelection, SingleChoice
from autogan_ray.nets.shape import Shape
from autogan_ray.nets.supernet import Supernet
from autogan_ray.search.shrinking import shrink
from autogan_ray.spaces.derivation.derive import obeys
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.part import Decision

DECISIONS = (Decision("g.a", ("x", "y", "z")), Decision("g.b", ("x", "y")))


def logits_of() -> ArchitectureParameters:
    """The dropped choice is the one that would win."""
    found = ArchitectureParameters(DECISIONS, torch.Generator().manual_seed(0))
    found.load_state_dict({"g.a": torch.tensor([0.3, 5.0, -0.2]), "g.b": torch.tensor([0.5, -0.5])})
    found.drop("g.a", "y")
    return found


@pytest.mark.parametrize("as_probabilities", [False, True])
@pytest.mark.parametrize("relaxation", ["softmax", "gumbel", "gumbel_hard"])
def test_a_dropped_choice_is_never_drawn_and_every_gradient_stays_finite(
    relaxation: str, as_probabilities: bool
) -> None:
    logits, rng = logits_of(), torch.Generator().manual_seed(2)
    for _ in range(100):
        chosen = logits.select(relaxation, 0.3, rng, as_probabilities)
        weights = chosen["g.a"]
        if isinstance(weights, SingleChoice):
            assert weights.index != 1 and weights.scale is not None
            loss = weights.scale * 2
        else:
            assert weights[1] == 0 and float(weights.detach().sum()) == pytest.approx(1)
            loss = (weights * torch.tensor([1.0, 1e6, -2.0])).sum()
        logits.logits.grad = None
        loss.backward()
        assert logits.logits.grad is not None and torch.isfinite(logits.logits.grad).all()
        assert logits.logits.grad[0, 1] == 0
    assert logits.table()["g.a"]["y"][1] == 0
    assert sum(p for _, p in logits.table()["g.a"].values()) == pytest.approx(1)
    assert logits.expected()["g.a"][1] == 0


def test_the_last_choice_cannot_go() -> None:
    logits = logits_of()
    logits.drop("g.a", "x")
    assert logits.left() == {"g.a": ("z",), "g.b": ("x", "y")}
    with pytest.raises(AssertionError, match=r"g\.a: the last choice"):
        logits.drop("g.a", "z")


def test_what_is_left_is_in_the_state_and_an_untouched_state_is_as_it_was() -> None:
    logits, fresh = logits_of(), ArchitectureParameters(DECISIONS, torch.Generator().manual_seed(1))
    untouched = fresh.state_dict()
    assert set(untouched) == {"g.a", "g.b"}
    buffer = io.BytesIO()
    torch.save(logits.state_dict(), buffer)
    fresh.load_state_dict(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
    assert fresh.table() == logits.table() and fresh.left() == logits.left()
    fresh.load_state_dict(untouched)
    assert fresh.left()["g.a"] == ("x", "y", "z")


class Recorder(nn.Module):
    def __init__(self, name: str, ran: list[str]) -> None:
        super().__init__()
        self._name, self._ran = name, ran

    def forward(self, x: Tensor) -> Tensor:
        self._ran.append(self._name)
        return 2 * x


def test_a_mixed_operation_computes_only_the_choices_left() -> None:
    ran: list[str] = []
    op = MixedOp(DECISIONS[0], lambda name: Recorder(name, ran))
    x = torch.ones(1)
    assert float(op(x, logits_of().expected())) == pytest.approx(2)
    assert ran == ["x", "z"]


SKIPPING = Decision("g.a", ("none", "skip", "y"), edge=True)


@pytest.mark.parametrize(("left", "extra"), [(None, 0.25), ({"g.a": (1, 2)}, 0.25), ({"g.a": (0, 2)}, 0.0)])
def test_an_auxiliary_skip_adds_b_times_x_where_skip_is_still_a_choice(
    left: Mapping[str, tuple[int, ...]] | None, extra: float
) -> None:
    op = MixedOp(SKIPPING, lambda name: nn.Identity() if name == "skip" else Recorder(name, []))
    weights, x = {"g.a": torch.tensor([0.5, 0.25, 0.25])}, torch.tensor([3.0])
    plain, added = op(x, MixtureSelection(weights, left)), op(x, MixtureSelection(weights, left, 0.25))
    assert torch.equal(added, plain + extra * x)
    assert torch.equal(op(x, MixtureSelection(weights, left, 0.0)), plain)
    other = MixedOp(DECISIONS[0], lambda name: Recorder(name, []))
    weights = {"g.a": torch.tensor([0.5, 0.25, 0.25])}
    assert torch.equal(other(x, MixtureSelection(weights, None, 0.25)), other(x, weights))


def supernet_of(name: str, seed: int) -> Supernet:
    return Supernet.build(load_space(name), Shape(8, 1, 4, 4, 8, "batch"), torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["adversarialnas", "alphagan/eagan", "autogan/adversarialnas"])
@pytest.mark.parametrize("love_of_none", [-3.0, 0.0, 3.0])
def test_however_a_space_shrinks_a_connected_genotype_of_what_is_left_remains(name: str, love_of_none: float) -> None:
    net = supernet_of(name, int(love_of_none) + 3)
    rng = torch.Generator().manual_seed(5)
    for arch in (net.arch_g, net.arch_d):
        with torch.no_grad():
            arch.logits.copy_(torch.randn(arch.logits.shape, generator=rng))
            for row, decision in enumerate(arch.decisions):
                if "none" in decision.choices:
                    arch.logits[row, decision.choices.index("none")] += love_of_none
    for _ in range(max(len(decision.choices) for decision in net.space.decisions(8))):
        before = net.arch_g.left() | net.arch_d.left()
        leading = {n: max(row, key=lambda c, row=row: row[c][1]) for n, row in net.table().items()}  # type: ignore[misc]
        for arch in (net.arch_g, net.arch_d):
            shrink(arch, net.space, 8)
        after = net.arch_g.left() | net.arch_d.left()
        for decision, choices in after.items():
            assert len(before[decision]) - len(choices) in (0, 1) and choices
            assert leading[decision] in choices or len(before[decision]) == 1
        genotype = net.genotype()
        net.space.check(genotype)
        assert all(genotype.choices[decision] in choices for decision, choices in after.items())
        drawn = net.arch_g.select("gumbel_hard", 1.0, rng)
        names = {d.name: d for d in net.arch_g.decisions}
        assert all(isinstance(w, SingleChoice) and names[n].choices[w.index] in after[n] for n, w in drawn.items())
    # All are decided but those between "none" and the operation that keeps a node alive.
    assert all(len(choices) == 1 or (len(choices) == 2 and "none" in choices) for choices in after.values())
    assert love_of_none == 3.0 or all(len(choices) == 1 for choices in after.values())


@pytest.mark.parametrize(
    "derive",
    [{"exclude_none": True, "max_skips_per_cell_g": 0, "max_skips_per_cell_d": 0}, {"max_params_g": 800}],
)
def test_however_a_space_shrinks_a_genotype_within_the_rules_remains(derive: dict[str, Any]) -> None:
    net = supernet_of("adversarialnas", 0)
    net = replace(net, rules=rules_of(DeriveConfig(**derive), net.space, net.shape))
    rng = torch.Generator().manual_seed(5)
    for _ in range(7):
        for arch in (net.arch_g, net.arch_d):
            with torch.no_grad():
                arch.logits.copy_(torch.randn(arch.logits.shape, generator=rng))
            shrink(arch, net.space, 8, net.rules)
        choices = net.genotype().choices
        for network in ("g", "d"):
            own = {name: choice for name, choice in choices.items() if name[0] == network}
            assert obeys(net.space, network, own, 8, net.rules)
    assert sum(len(choices) > 1 for choices in net.arch_g.left().values()) < len(net.arch_g) / 2


@pytest.mark.parametrize("name", ["adversarialnas/fixed", "autogan/fixed"])
def test_a_supernet_shrunk_to_the_end_runs_just_the_layers_of_its_genotype(name: str) -> None:
    net = supernet_of(name, 0)
    with torch.no_grad():
        net.arch_g.logits[:, 0] -= 2
        net.arch_g.logits[::3, 0] += 4
    for _ in range(7):
        shrink(net.arch_g, net.space, 8)
    choices = net.genotype().choices
    assert {name: (choices[name],) for name in net.arch_g.left()} == net.arch_g.left()
    derived = Generator(net.space, net.shape, choices)
    z, counts = torch.randn(2, 8), []
    for network, selection in ((net.generator, net.arch_g.expected()), (derived, {})):
        ran: set[str] = set()
        for lead, module in network.named_modules():
            if not list(module.children()):
                module.register_forward_hook(lambda *_, lead=lead, ran=ran: ran.add(lead))  # type: ignore[misc]
        network.eval()
        with computed_plainly(network):  # weighted kernels pass the layers by
            images = network(z, selection)
        torch.testing.assert_close(network(z, selection), images)
        counts.append(ran)
    assert counts[0] == counts[1]
