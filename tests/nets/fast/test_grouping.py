"""The mixtures of a cell computed together against every choice computed by itself, over random graphs."""

from __future__ import annotations

import random
from collections.abc import Set

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from autogan_ray.config.sections import ComputeConfig
from autogan_ray.nets.compute import configured
from autogan_ray.nets.fast.grouping import CellPlan, MixedEdge
from autogan_ray.nets.fast.operation import SplitOperation
from autogan_ray.nets.fast.shared_input import NodeInputs, RunningSum, SharedInput
from autogan_ray.nets.fast.weighted_kernels import NetworkWeighting
from autogan_ray.nets.gan import Discriminator, Generator
from autogan_ray.nets.ops import OpSpec, build_op
from autogan_ray.nets.shape import Shape
from autogan_ray.spaces.load import load_space

OPERATIONS = ("skip", "conv_1x1", "conv_3x3", "conv_5x5", "dil_conv_3x3", "dil_conv_5x5", "sep_conv_3x3")
WIDTHS = {"in": 3, "a": 4, "b": 4, "c": 4, "d": 4, "e": 4}


class Graph:
    """A random DAG over :data:`WIDTHS`, each edge with some operations; edges may be doubled, nodes unreached."""

    def __init__(self, rng: random.Random) -> None:
        self.order = list(WIDTHS)
        self.modules: dict[str, list[nn.Module]] = {}
        self.edges: list[MixedEdge] = []
        for position, target in enumerate(self.order):
            for source in self.order[:position]:
                for _ in range(rng.choice((0, 1, 1, 1, 2))):
                    self._join(source, target, rng)
        self.weights = {
            name: torch.rand(len(modules), dtype=torch.float64).requires_grad_()
            for name, modules in self.modules.items()
        }

    def _join(self, source: str, target: str, rng: random.Random) -> None:
        able = OPERATIONS if source != "in" else OPERATIONS[1:]  # a skip keeps the number of channels
        names = rng.sample(able, rng.randrange(1, len(able) + 1))
        spec = OpSpec(WIDTHS[source], WIDTHS[target], rng.choice(("none", "spectral")), rng.random() < 0.7)
        name = f"edge{len(self.edges)}"
        self.modules[name] = [build_op(op, spec).double().to(memory_format=torch.channels_last) for op in names]
        operations = tuple((number, SplitOperation.of(module)) for number, module in enumerate(self.modules[name]))
        self.edges.append(MixedEdge(name, source, target, operations))

    def leaves(self) -> list[Tensor]:
        layers = [p for modules in self.modules.values() for module in modules for p in module.parameters()]
        return [*self.weights.values(), *layers]

    def plainly(self, x: Tensor) -> dict[str, Tensor]:
        values = {"in": x}
        for node in self.order[1:]:
            total = torch.zeros(len(x), WIDTHS[node], *x.shape[2:], dtype=x.dtype)
            for edge in self.edges:
                if edge.target == node:
                    for weight, module in zip(self.weights[edge.name], self.modules[edge.name], strict=True):
                        total = total + weight * module(values[edge.source])
            values[node] = total
        return values

    def together(self, x: Tensor, plan: CellPlan) -> dict[str, Tensor]:
        nodes, sums = NodeInputs({"in": SharedInput(x)}), {node: RunningSum() for node in self.order}
        weights = {name: row.unbind() for name, row in self.weights.items()}
        (parameters,) = NetworkWeighting.of([plan]).weighted([weights], None)
        for node in self.order:
            if node != "in":
                value = sums[node].value
                zeros = torch.zeros(len(x), WIDTHS[node], *x.shape[2:], dtype=x.dtype)
                nodes[node] = SharedInput(zeros if value is None else value)
            plan.steps[node].add_to(sums, nodes, parameters)
        return {node: nodes[node].value for node in self.order}


@pytest.mark.parametrize("seed", range(12))
def test_a_random_graph_has_the_values_and_gradients_of_its_plain_form(seed: int) -> None:
    torch.manual_seed(seed)
    graph = Graph(random.Random(seed))
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64).contiguous(memory_format=torch.channels_last).requires_grad_()
    plan = CellPlan.of(graph.edges, graph.order)
    buffers = [b for modules in graph.modules.values() for module in modules for b in module.buffers()]
    before, results = [buffer.clone() for buffer in buffers], []
    slopes = {node: torch.randn(2, width, 6, 6, dtype=torch.float64) for node, width in WIDTHS.items()}
    for form in (graph.plainly, lambda x: graph.together(x, plan)):
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)  # both start with the same singular vectors
        values = form(x)
        loss = sum((values[node] * slopes[node]).sum() for node in graph.order[1:])
        gradients = torch.autograd.grad(loss, [x, *graph.leaves()], allow_unused=True)
        results.append((*values.values(), *gradients, *(buffer.clone() for buffer in buffers)))
    assert len(results[0]) > 50
    for plain, together in zip(*results, strict=True):
        assert (plain is None) == (together is None)
        if plain is not None:
            scale = float(plain.detach().abs().max()) + 1e-9
            assert float((plain - together).detach().abs().max()) < 1e-9 * scale


@pytest.mark.parametrize("seed", range(12))
def test_every_convolution_is_in_one_group_and_no_block_of_its_kernel_is_empty(seed: int) -> None:
    graph = Graph(random.Random(seed))
    plan = CellPlan.of(graph.edges, graph.order)
    sums = [(node, group_sum) for node, step in plan.steps.items() for group_sum in step.together]
    convs = [conv for _, group_sum in sums for group in group_sum.groups for conv in group.convs]
    alone = [(edge.name, number) for step in plan.steps.values() for edge, number, _ in step.alone]
    everything = [(edge.name, number) for edge in graph.edges for number, _ in edge.operations]
    assert sorted([*alone, *((conv.edge, conv.number) for conv in convs)]) == sorted(everything)
    for node, group_sum in sums:
        assert max(group_sum.sources, key=graph.order.index) == node, "it runs when the last of its sources is there"
        wanted = {(source, target) for source in group_sum.sources for target in group_sum.targets}
        for group in group_sum.groups:
            assert {(conv.source, conv.target) for conv in group.convs} == wanted
            assert len({conv.reads for conv in group.convs}) == 1


def test_a_node_is_forgotten_when_the_last_that_reads_it_has_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """G of AdversarialNAS: n0 waits for n1, as both lead to n2 and n3; later cells see n2."""
    kept, keep = [], NodeInputs.keep

    def noting(self: NodeInputs, nodes: Set[str]) -> None:
        keep(self, nodes)
        kept.append((sorted(self), len(self._side_by_side)))

    monkeypatch.setattr(NodeInputs, "keep", noting)
    space = load_space("adversarialnas")
    weights = {decision.name: torch.full((len(decision.choices),), 0.1) for decision in space.decisions(8, "g")}
    configured(Generator(space, Shape(8, 1, 4, 4, 16), None), ComputeConfig(), 8)(torch.randn(2, 16), weights)
    cell = [([], 0), (["n0"], 0), ([], 0), (["n2"], 0), (["n2", "n3"], 0)]
    assert kept == 2 * cell


@pytest.mark.parametrize(("network", "wanted"), [("d", 3 * (2 + 2 + 2)), ("g", 2 * (4 + 2 + 1 + 4) + 2)])
def test_edges_between_the_same_nodes_are_one_convolution(network: str, wanted: int) -> None:
    """AdversarialNAS at 16 px.

    D has three cells; in each the edges from ``in`` into three nodes, from ``a`` into two and from two into ``out`` are
    a dense and a dilated convolution. So are in each of G's two cells the edges from two nodes into two, and the last
    edge: four. Of the two that enlarge, each has its pointwise convolution for ``nearest`` and two for the transposed
    convolution (2 + 4), while ``bilinear`` is one for both. Besides, a skip from one cell to the other, and the last
    layer.
    """
    space, shape, runs = load_space("adversarialnas"), Shape(16, 3, 4, 4, 16), []
    built = Generator(space, shape, None) if network == "g" else Discriminator(space, shape, None)
    decisions = space.decisions(16, "g") if network == "g" else space.decisions(16, "d")
    configured(built, ComputeConfig(channels_last=True), 16)

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            runs.append(func is torch.ops.aten.convolution.default)
            return func(*args, **(kwargs or {}))

    weights = {d.name: torch.full((len(d.choices),), 1 / len(d.choices)) for d in decisions}
    with Counting():
        built(torch.randn(2, 16) if network == "g" else torch.randn(2, 3, 16, 16), weights)
    assert sum(runs) == wanted
