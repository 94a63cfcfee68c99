"""Which convolutions of a cell are computed as one: those that read the same nodes and enter the same sums.

    sum_i w_i (K_i * x + b_i)  =  (sum_i w_i K_i) * x  +  sum_i w_i b_i

is exact for kernels K_i of one stride whose centres agree, spectral norm included (it only rescales K_i). So the five
convolutions of an AdversarialNAS edge become two. And a kernel is a matrix over channels: edges from two nodes into two
others are one convolution of the nodes side by side, whose kernel has a block for each edge.

    a       c      With the edges a -> c, a -> d, b -> c, b -> d, each a mixture, and with channels side by side:
      \\   / |
       \\ /  |                 [c, d]  =  [ K_ac  K_bc ]  *  [a, b]
       / \\  |                            [ K_ad  K_bd ]
      /   \\ v
    b  ->  d       where K_ac is the weighted sum of the kernels on the edge a -> c.

Twenty convolutions become two then, as wide as processors like them, and one activation is kept for the backward pass
instead of forty. Here is which convolutions these are; :mod:`~autogan_ray.nets.fast.weighted_kernels` makes their
kernels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from autogan_ray.nets.fast.dilated import same_conv
from autogan_ray.nets.fast.operation import Affine, SplitOperation, is_same_conv
from autogan_ray.nets.fast.shared_input import NodeInputs, RunningSum, SharedInput
from autogan_ray.nets.ops import SameConv2d
from autogan_ray.nets.spectral import is_spectral

ArchitectureWeights = Mapping[str, Sequence[Tensor]]
"""Name of an edge -> the architecture weight of each choice of its decision, 0-dim each."""


class MixedEdge(NamedTuple):
    """An edge that is a mixture.

    Args:
        operations: (number among the decision's choices, operation) of the choices that are computed.
    """

    name: str
    source: str
    target: str
    operations: tuple[tuple[int, SplitOperation], ...]


class WeightedParameters(NamedTuple):
    """All parameters of one cell that architecture weights multiply, in one forward pass.

    Args:
        weights: the architecture weights.
        kernels, biases: of the cell's groups of convolutions, by their numbers.
        affines: (edge, number of the choice) -> weight and bias of the batch norm that the choice's weight folds into.
    """

    weights: ArchitectureWeights
    kernels: Sequence[Tensor]
    biases: Sequence[Tensor | None]
    affines: Mapping[tuple[str, int], Affine]


class ConvChoice(NamedTuple):
    """A choice that is a single convolution.

    Args:
        edge, source, target: the edge it is a choice of, and its nodes.
        number: among the choices of the edge's decision.
        reads: what it reads of the source.
    """

    edge: str
    source: str
    target: str
    number: int
    reads: str
    layer: SameConv2d

    @property
    def side(self) -> int:
        return self.layer.kernel_size[0]

    @property
    def dilation(self) -> int:
        return self.layer.dilation[0]


class KernelForm(NamedTuple):
    """What convolutions have in common that can be one.

    Args:
        side, dilation: of the common kernel, which covers the kernel of each of them.
    """

    reads: str
    stride: int
    bias: bool
    side: int
    dilation: int

    def positions(self, conv: ConvChoice) -> tuple[int, int, int]:
        """(start, stop, step) of a convolution's kernel inside of the common kernel, in both directions."""
        step = conv.dilation // self.dilation
        span = step * (conv.side - 1) + 1
        start = (self.side - span) // 2
        return start, start + span, step


def kernel_forms(convs: Sequence[ConvChoice]) -> Iterator[tuple[KernelForm, ConvChoice]]:
    """The form of each convolution of one edge.

    A dilated kernel joins the dense ones where the largest of these covers it anyway; otherwise the dilated kernels of
    one dilation have a common kernel of their own.
    """
    alike: dict[tuple[str, int, bool], list[ConvChoice]] = {}
    for conv in convs:
        alike.setdefault((conv.reads, conv.layer.stride[0], conv.layer.bias is not None), []).append(conv)
    for common, members in alike.items():
        dense = max((conv.side for conv in members if conv.dilation == 1), default=0)
        by_dilation: dict[int, list[ConvChoice]] = {}
        for conv in members:
            span = conv.dilation * (conv.side - 1) + 1
            by_dilation.setdefault(1 if span <= dense else conv.dilation, []).append(conv)
        for dilation, same in by_dilation.items():
            side = dense if dilation == 1 else max(conv.side for conv in same)
            yield from ((KernelForm(*common, side, dilation), conv) for conv in same)


@dataclass(frozen=True, eq=False)  # compared by identity: torch.compile hashes it before it has its fields
class ConvGroup:
    """Convolutions of one form from some nodes side by side into others side by side: one convolution.

    Args:
        number: among the groups of its cell.
        pairs: [targets][sources]: the convolutions that lead from the source to the target, at least one.
    """

    form: KernelForm
    number: int
    pairs: tuple[tuple[tuple[ConvChoice, ...], ...], ...]

    @property
    def convs(self) -> list[ConvChoice]:
        """All of them, in the order of their targets."""
        return [conv for row in self.pairs for pair in row for conv in pair]

    def add_to(self, total: RunningSum, sources: SharedInput, parameters: WeightedParameters) -> None:
        """Adds the weighted sums into the targets, which are side by side, of the sources side by side."""
        form, kernel, bias = self.form, parameters.kernels[self.number], parameters.biases[self.number]
        total.add(same_conv(sources.read(form.reads), kernel, bias, form.stride, form.dilation), fresh=True)


@dataclass(frozen=True, eq=False)
class GroupSum:
    """Groups that lead from each of ``sources`` to each of ``targets``: their outputs are added, then split."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    groups: tuple[ConvGroup, ...]

    def add_to(self, sums: Mapping[str, RunningSum], sources: SharedInput, parameters: WeightedParameters) -> None:
        """Adds to the targets' sums. Args: sources: side by side, in their order."""
        whole, count = RunningSum(), len(self.targets)
        for group in self.groups:
            group.add_to(whole, sources, parameters)
        x = whole.value
        assert x is not None
        if count == 1:
            sums[self.targets[0]].add(x, fresh=True)
            return
        # Nobody reads the whole of which these are parts, so they could be written to; but a part lies apart in memory,
        # and whole tensors are faster to add to.
        for target, part in zip(self.targets, torch.unsafe_split(x, x.shape[1] // count, dim=1), strict=True):
            sums[target].add(part)


@dataclass(frozen=True, eq=False)
class NodeStep:
    """What is computed as soon as a node is there.

    Args:
        together: groups of convolutions, for which this node is the last of the sources.
        alone: (edge, number of the choice, operation) of the operations on this node that belong to no group.
    """

    together: tuple[GroupSum, ...]
    alone: tuple[tuple[MixedEdge, int, SplitOperation], ...]

    def add_to(self, sums: Mapping[str, RunningSum], nodes: NodeInputs, parameters: WeightedParameters) -> None:
        """Adds to the sums of the nodes that it leads to."""
        for group_sum in self.together:
            group_sum.add_to(sums, nodes.side_by_side(group_sum.sources), parameters)
        for edge, number, operation in self.alone:
            weight, affine = parameters.weights[edge.name][number], parameters.affines.get((edge.name, number))
            operation.add_to(sums[edge.target], nodes[edge.source], weight, affine)


@dataclass(frozen=True, eq=False)
class CellPlan:
    """How the mixtures of a cell are computed.

    Neither making nor looking up a plan breaks a graph of torch.compile, which is why it is plain tuples and dicts.

    Args:
        steps: node -> what is computed when it is there.
        awaited: node -> those up to it that are read again when a later node is there.
        groups: the groups of all steps, by their numbers.
        alone: all operations in no group: (edge, number of the choice, operation).
        spectral: the layers with spectral norm in these.
    """

    steps: Mapping[str, NodeStep]
    awaited: Mapping[str, frozenset[str]]
    groups: tuple[ConvGroup, ...]
    alone: tuple[tuple[str, int, SplitOperation], ...]
    spectral: tuple[nn.Module, ...]

    @classmethod
    def of(cls, edges: Sequence[MixedEdge], order: Sequence[str]) -> CellPlan:
        """The plan for these mixtures. Args: order: the nodes, each behind those it depends on."""
        alone: list[tuple[MixedEdge, int, SplitOperation]] = []
        alike: dict[KernelForm, list[ConvChoice]] = {}
        for edge in edges:
            convs = []
            for number, operation in edge.operations:
                layer = operation.layers[0] if len(operation.layers) == 1 else None
                if isinstance(layer, SameConv2d) and is_same_conv(layer):
                    convs.append(ConvChoice(edge.name, edge.source, edge.target, number, operation.reads, layer))
                else:
                    alone.append((edge, number, operation))
            for form, conv in kernel_forms(convs):
                alike.setdefault(form, []).append(conv)
        sums = _group_sums(alike, order)
        groups = sorted((group for group_sum in sums for group in group_sum.groups), key=lambda group: group.number)
        layers = [module for *_, operation in alone for layer in operation.layers for module in layer.modules()]
        return cls(
            {node: NodeStep(*_ready_with(node, sums, alone)) for node in order},
            {node: _awaited(order, number, sums) for number, node in enumerate(order)},
            tuple(groups),
            tuple((edge.name, number, operation) for edge, number, operation in alone),
            tuple(filter(is_spectral, layers)),
        )


def _ready_with(
    node: str, sums: Sequence[GroupSum], alone: Sequence[tuple[MixedEdge, int, SplitOperation]]
) -> tuple[tuple[GroupSum, ...], tuple[tuple[MixedEdge, int, SplitOperation], ...]]:
    return tuple(s for s in sums if s.sources[-1] == node), tuple(item for item in alone if item[0].source == node)


def _awaited(order: Sequence[str], number: int, sums: Sequence[GroupSum]) -> frozenset[str]:
    """Nodes up to the one of this number that groups read together with later nodes."""
    waiting = [group_sum for group_sum in sums if order.index(group_sum.sources[-1]) > number]
    return frozenset(node for group_sum in waiting for node in group_sum.sources if order.index(node) <= number)


def _group_sums(alike: Mapping[KernelForm, Sequence[ConvChoice]], order: Sequence[str]) -> list[GroupSum]:
    groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[ConvGroup]] = {}
    number = 0
    for form, convs in alike.items():
        for sources, targets in _fully_connected(convs, order):
            pairs = tuple(
                tuple(tuple(c for c in convs if (c.source, c.target) == (source, target)) for source in sources)
                for target in targets
            )
            groups.setdefault((sources, targets), []).append(ConvGroup(form, number, pairs))
            number += 1
    return [GroupSum(*ends, tuple(members)) for ends, members in groups.items()]


def _fully_connected(
    convs: Sequence[ConvChoice], order: Sequence[str]
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """(sources, targets) such that a convolution leads from each source to each target: no kernel has an empty block.

    Sources that lead to the same targets belong together.
    """
    sources_of: dict[tuple[str, ...], list[str]] = {}
    for source in order:
        targets = {conv.target for conv in convs if conv.source == source}
        if targets:
            sources_of.setdefault(tuple(node for node in order if node in targets), []).append(source)
    yield from ((tuple(sources), targets) for targets, sources in sources_of.items())
