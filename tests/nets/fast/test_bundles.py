"""Mixtures of a cell computed together against each choice computed alone, over random graphs."""

from __future__ import annotations

import random
from collections.abc import Set

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from autogan_ray.config.sections import ComputeConfig
from autogan_ray.nets.compute import configured
from autogan_ray.nets.fast.blend import Blend
from autogan_ray.nets.fast.branch import Branch
from autogan_ray.nets.fast.bundles import Arrow, Plan
from autogan_ray.nets.fast.tap import Tap, Taps
from autogan_ray.nets.fast.total import Total
from autogan_ray.nets.gan import Discriminator, Generator, Shape
from autogan_ray.nets.ops import OpSpec, build_op
from autogan_ray.spaces.load import load_space

OPERATIONS = ("skip", "conv_1x1", "conv_3x3", "conv_5x5", "dil_conv_3x3", "dil_conv_5x5", "sep_conv_3x3")
WIDTHS = {"in": 3, "a": 4, "b": 4, "c": 4, "d": 4, "e": 4}


class Graph:
    """A random DAG over :data:`WIDTHS`, each edge with some operations; edges may be doubled, nodes unreached."""

    def __init__(self, rng: random.Random) -> None:
        self.order = list(WIDTHS)
        self.modules: dict[str, list[nn.Module]] = {}
        self.arrows: list[Arrow] = []
        for position, target in enumerate(self.order):
            for source in self.order[:position]:
                for _ in range(rng.choice((0, 1, 1, 1, 2))):
                    self._join(source, target, rng)
        self.shares = {
            name: torch.rand(len(modules), dtype=torch.float64).requires_grad_()
            for name, modules in self.modules.items()
        }

    def _join(self, source: str, target: str, rng: random.Random) -> None:
        able = OPERATIONS if source != "in" else OPERATIONS[1:]  # a skip keeps the number of channels
        names = rng.sample(able, rng.randrange(1, len(able) + 1))
        spec = OpSpec(WIDTHS[source], WIDTHS[target], rng.choice(("none", "spectral")), rng.random() < 0.7)
        name = f"edge{len(self.arrows)}"
        self.modules[name] = [build_op(op, spec).double().to(memory_format=torch.channels_last) for op in names]
        branches = tuple((number, Branch.of(module)) for number, module in enumerate(self.modules[name]))
        self.arrows.append(Arrow(name, source, target, branches))

    def leaves(self) -> list[Tensor]:
        layers = [p for modules in self.modules.values() for module in modules for p in module.parameters()]
        return [*self.shares.values(), *layers]

    def plainly(self, x: Tensor) -> dict[str, Tensor]:
        values = {"in": x}
        for node in self.order[1:]:
            total = torch.zeros(len(x), WIDTHS[node], *x.shape[2:], dtype=x.dtype)
            for arrow in self.arrows:
                if arrow.target == node:
                    for share, module in zip(self.shares[arrow.name], self.modules[arrow.name], strict=True):
                        total = total + share * module(values[arrow.source])
            values[node] = total
        return values

    def together(self, x: Tensor, plan: Plan) -> dict[str, Tensor]:
        taps, totals = Taps({"in": Tap(x)}), {node: Total() for node in self.order}
        (mixture,) = Blend.of([plan]).weighted([{name: row.unbind() for name, row in self.shares.items()}])
        for node in self.order:
            if node != "in":
                reached = totals[node].value
                zeros = torch.zeros(len(x), WIDTHS[node], *x.shape[2:], dtype=x.dtype)
                taps[node] = Tap(zeros if reached is None else reached)
            plan.steps[node].onto(totals, taps, mixture)
        return {node: taps[node].value for node in self.order}


@pytest.mark.parametrize("seed", range(12))
def test_a_random_graph_has_the_values_and_gradients_of_its_plain_form(seed: int) -> None:
    torch.manual_seed(seed)
    graph = Graph(random.Random(seed))
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64).contiguous(memory_format=torch.channels_last).requires_grad_()
    plan = Plan.of(graph.arrows, graph.order)
    buffers = [b for modules in graph.modules.values() for module in modules for b in module.buffers()]
    before, found = [buffer.clone() for buffer in buffers], []
    slopes = {node: torch.randn(2, width, 6, 6, dtype=torch.float64) for node, width in WIDTHS.items()}
    for form in (graph.plainly, lambda x: graph.together(x, plan)):
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)  # both start with the same singular vectors
        values = form(x)
        loss = sum((values[node] * slopes[node]).sum() for node in graph.order[1:])
        gradients = torch.autograd.grad(loss, [x, *graph.leaves()], allow_unused=True)
        found.append((*values.values(), *gradients, *(buffer.clone() for buffer in buffers)))
    assert len(found[0]) > 50
    for plain, together in zip(*found, strict=True):
        assert (plain is None) == (together is None)
        if plain is not None:
            scale = float(plain.detach().abs().max()) + 1e-9
            assert float((plain - together).detach().abs().max()) < 1e-9 * scale


@pytest.mark.parametrize("seed", range(12))
def test_every_convolution_is_in_one_group_and_no_block_of_its_kernel_is_empty(seed: int) -> None:
    graph = Graph(random.Random(seed))
    plan = Plan.of(graph.arrows, graph.order)
    bundles = [(node, bundle) for node, step in plan.steps.items() for bundle in step.bundles]
    members = [member for _, bundle in bundles for group in bundle.groups for member in group.members]
    alone = [(arrow.name, number) for step in plan.steps.values() for arrow, number, _ in step.alone]
    everything = [(arrow.name, number) for arrow in graph.arrows for number, _ in arrow.branches]
    assert sorted([*alone, *((member.arrow, member.number) for member in members)]) == sorted(everything)
    for node, bundle in bundles:
        assert max(bundle.sources, key=graph.order.index) == node, "it runs when the last of its sources is there"
        wanted = {(source, target) for source in bundle.sources for target in bundle.targets}
        for group in bundle.groups:
            assert {(member.source, member.target) for member in group.members} == wanted
            assert len({member.lead for member in group.members}) == 1


def test_a_node_is_let_go_when_the_last_that_reads_it_has_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """G of AdversarialNAS: n0 waits for n1, as both lead to n2 and n3; later cells see n2."""
    left, known = [], Taps.keep

    def noting(self: Taps, nodes: Set[str]) -> None:
        known(self, nodes)
        left.append((sorted(self), len(self._joined)))

    monkeypatch.setattr(Taps, "keep", noting)
    space = load_space("adversarialnas")
    weights = {one.name: torch.full((len(one.choices),), 0.1) for one in space.decisions(8, "g")}
    Generator(space, Shape(8, 1, 4, 4, 16), None)(torch.randn(2, 16), weights)
    cell = [([], 0), (["n0"], 0), ([], 0), (["n2"], 0), (["n2", "n3"], 0)]
    assert left == 2 * cell


@pytest.mark.parametrize(("network", "wanted"), [("d", 3 * (2 + 2 + 2)), ("g", 2 * (4 + 2 + 1 + 4) + 2)])
def test_edges_between_the_same_nodes_are_one_convolution(network: str, wanted: int) -> None:
    """AdversarialNAS at 16 px.

    D has three cells; in each the edges from ``in`` into three nodes, from ``a`` into two and from two into ``out`` are
    a dense and a dilated convolution. So are in each of G's two cells the edges from two nodes into two, and the last
    one: four. Of the two that enlarge, each has its pointwise convolution for ``nearest`` and two for the transposed
    one (2 + 4), while ``bilinear`` is one for both. Besides, a skip from one cell to the other, and the last layer.
    """
    space, shape, runs = load_space("adversarialnas"), Shape(16, 3, 4, 4, 16), []
    built = Generator(space, shape, None) if network == "g" else Discriminator(space, shape, None)
    decisions = space.decisions(16, "g") if network == "g" else space.decisions(16, "d")
    configured(built, ComputeConfig(channels_last=True), 16)

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            runs.append(func is torch.ops.aten.convolution.default)
            return func(*args, **(kwargs or {}))

    weights = {one.name: torch.full((len(one.choices),), 1 / len(one.choices)) for one in decisions}
    with Counting():
        built(torch.randn(2, 16) if network == "g" else torch.randn(2, 3, 16, 16), weights)
    assert sum(runs) == wanted
