"""Convolutions that add up, as one: those that read the same tensors, and those whose outputs enter the same sums.

sum_k w_k (W_k * x + b_k) = (sum_k w_k W_k) * x + sum_k w_k b_k: exact for any kernels of one stride whose centres
agree, spectral norm included (it only rescales W_k). So five convolutions of an AdversarialNAS edge become two. And a
kernel is a matrix over channels: edges from two nodes into two others are one convolution of the nodes side by side,
whose kernel has a block an edge. Twenty convolutions become two then, as wide as processors like them, and one
activation is kept for the backward pass instead of forty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from autogan_ray.nets import phases
from autogan_ray.nets.branch import Branch
from autogan_ray.nets.ops import same_conv
from autogan_ray.nets.spectral import inverse_norms, is_spectral, original
from autogan_ray.nets.tap import Tap, Taps
from autogan_ray.nets.total import Total


class Arrow(NamedTuple):
    """An edge whose choices are mixed. Args: branches: (number among the decision's choices, branch)."""

    name: str
    source: str
    target: str
    branches: tuple[tuple[int, Branch], ...]


Shares = Mapping[str, Sequence[Tensor]]
"""Of each arrow, by its name: the shares of all its choices, each 0-dim."""


class _Kind(NamedTuple):
    """What convolutions have in common that can be one: a kernel of ``side`` taps at ``dilation`` covers them all."""

    lead: str
    stride: int
    bias: bool
    spectral: bool
    side: int
    dilation: int


class _Member(NamedTuple):
    arrow: Arrow
    number: int
    layer: nn.Conv2d


@dataclass(frozen=True, eq=False)  # compared by identity: torch.compile hashes it before it has its fields
class Group:
    """Convolutions from each of ``sources`` into each of ``targets``; ``members`` in the order of their targets."""

    kind: _Kind
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    members: tuple[_Member, ...]
    layout: _Layout

    def onto(self, totals: Mapping[str, Total], tap: Tap, shares: Shares) -> None:
        """Adds the weighted sums to the targets'. Args: tap: the sources side by side, in their order."""
        kind = self.kind
        kernel, bias = self._merged(shares)
        over_phases = phases.pays(tap.lead(kind.lead), kind.stride, kind.dilation)
        if over_phases:
            x = functional.conv2d(tap.phases(kind.lead, kind.dilation), kernel, bias, padding=kind.side // 2)
        else:
            x = same_conv(tap.lead(kind.lead), kernel, bias, kind.stride, kind.dilation)
        # Parts of one tensor that nobody reads as a whole, so each may be written to.
        parts = torch.unsafe_split(x, x.shape[1] // len(self.targets), dim=1) if len(self.targets) > 1 else (x,)
        for target, part in zip(self.targets, parts, strict=True):
            if over_phases:
                totals[target].add_phases(part, kind.dilation)
            else:
                totals[target].add(part, fresh=len(parts) == 1)

    def _merged(self, shares: Shares) -> tuple[Tensor, Tensor | None]:
        """Kernel and bias."""
        own = torch.stack([shares[member.arrow.name][member.number] for member in self.members])
        layers = [member.layer for member in self.members]
        scales = own * inverse_norms(layers) if self.kind.spectral else own
        kernel = _Merge.apply(scales, self.layout, *map(original, layers))
        biases = [layer.bias for layer in layers if layer.bias is not None]
        if not biases:
            return kernel, None
        # Products and sums, not a matrix product: autocast would make that one of half precision.
        rows = torch.stack(biases) * own.unsqueeze(1)
        return kernel, torch.cat([some.sum(0) for some in rows.split(self.layout.counts)])


class Step(NamedTuple):
    """What can be computed once a node is there: groups, and (arrow, number of the choice, branch) of no group."""

    groups: tuple[Group, ...]
    alone: tuple[tuple[Arrow, int, Branch], ...]

    def onto(self, totals: Mapping[str, Total], taps: Taps, shares: Shares) -> None:
        """Adds to the sums of the nodes that it leads to."""
        for group in self.groups:
            group.onto(totals, taps.joined(group.sources), shares)
        for arrow, index, branch in self.alone:
            branch.onto(totals[arrow.target], taps[arrow.source], shares[arrow.name][index])


Plan = Mapping[str, Step]
"""node -> what it was the last to be waited for."""


def plan(arrows: Sequence[Arrow], order: Sequence[str]) -> Plan:
    """How the mixtures of a cell are computed.

    A group needs an edge of its kind from each of its sources to each of its targets: then no block of its kernel is
    empty. Sources whose edges of a kind lead to the same targets make one.

    Args:
        order: of the nodes, each behind those it depends on.
    """
    kinds: dict[_Kind, list[_Member]] = {}
    alone = []
    for arrow in arrows:
        found = []
        for index, branch in arrow.branches:
            layer = branch.layers[0] if len(branch.layers) == 1 else None
            if isinstance(layer, nn.Conv2d) and layer.groups == 1:
                found.append((branch.lead, _Member(arrow, index, layer)))
            else:
                alone.append((arrow, index, branch))
        for kind, member in _with_kinds(found):
            kinds.setdefault(kind, []).append(member)
    groups = [group for kind, members in kinds.items() for group in _bipartite(kind, members)]
    return {
        node: Step(
            tuple(group for group in groups if max(group.sources, key=order.index) == node),
            tuple(one for one in alone if one[0].source == node),
        )
        for node in order
    }


def _with_kinds(found: Sequence[tuple[str, _Member]]) -> Iterator[tuple[_Kind, _Member]]:
    """Of one edge. A dilated kernel joins the dense one where that is large enough anyway; else it stands alone."""
    sets: dict[tuple[str, int, bool, bool], list[_Member]] = {}
    for lead, member in found:
        common = lead, member.layer.stride[0], member.layer.bias is not None, is_spectral(member.layer)
        sets.setdefault(common, []).append(member)
    for common, members in sets.items():
        dense = max((_side(member) for member in members if _dilation(member) == 1), default=0)
        largest: dict[int, int] = {}
        for member in members:
            dilation = 1 if _dilation(member) * (_side(member) - 1) + 1 <= dense else _dilation(member)
            largest[dilation] = max(largest.get(dilation, 0), _side(member) if dilation > 1 else dense)
        for member in members:
            dilation = 1 if _dilation(member) * (_side(member) - 1) + 1 <= dense else _dilation(member)
            yield _Kind(*common, largest[dilation], dilation), member


def _side(member: _Member) -> int:
    return member.layer.kernel_size[0]


def _dilation(member: _Member) -> int:
    return member.layer.dilation[0]


def _bipartite(kind: _Kind, members: Sequence[_Member]) -> Iterator[Group]:
    """The fewest groups in which each source leads to each target."""
    targets: dict[str, list[str]] = {}
    for member in members:
        reached = targets.setdefault(member.arrow.source, [])
        if member.arrow.target not in reached:
            reached.append(member.arrow.target)
    sources: dict[frozenset[str], list[str]] = {}
    for source, reached in targets.items():
        sources.setdefault(frozenset(reached), []).append(source)
    for some in sources.values():
        ordered = tuple(targets[some[0]])
        inside = [member for member in members if member.arrow.source in some]
        inside.sort(key=lambda member: ordered.index(member.arrow.target))
        yield Group(kind, tuple(some), ordered, tuple(inside), _Layout.of(kind, some, ordered, inside))


class _Window(NamedTuple):
    """Where a member's kernel stands in the common one: first channels out and in, how many, taps, their spacing."""

    row: int
    column: int
    rows: int
    columns: int
    side: int
    step: int


@dataclass(frozen=True, eq=False)
class _Layout:
    """Of a merged kernel: its shape, the members' windows, and of each target how many members lead to it."""

    shape: tuple[int, int, int, int]
    windows: tuple[_Window, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, kind: _Kind, sources: Sequence[str], targets: Sequence[str], members: Sequence[_Member]) -> _Layout:
        widths = {member.arrow.source: member.layer.in_channels for member in members}
        starts = {source: sum(widths[before] for before in sources[:n]) for n, source in enumerate(sources)}
        out = members[0].layer.out_channels
        windows = tuple(
            _Window(
                targets.index(member.arrow.target) * out,
                starts[member.arrow.source],
                out,
                widths[member.arrow.source],
                _side(member),
                _dilation(member) // kind.dilation,
            )
            for member in members
        )
        counts = tuple(sum(member.arrow.target == target for member in members) for target in targets)
        shape = (len(targets) * out, sum(widths.values()), kind.side, kind.side)
        return cls(shape, windows, counts)


class _Merge(torch.autograd.Function):
    """(scales [n], n kernels) -> the sum of scaled kernels, each at its window; twice differentiable."""

    @staticmethod
    def forward(ctx: Any, scales: Tensor, layout: _Layout, *kernels: Tensor) -> Tensor:
        ctx.save_for_backward(scales, *kernels)
        ctx.windows = layout.windows
        largest = max(kernels, key=lambda kernel: kernel.shape[-1])
        last = largest.is_contiguous(memory_format=torch.channels_last)
        order = torch.channels_last if last else torch.contiguous_format
        merged = torch.empty(layout.shape, dtype=largest.dtype, device=largest.device, memory_format=order).zero_()
        for scale, kernel, window in zip(scales.unbind(), kernels, layout.windows, strict=True):
            _taps(merged, window).addcmul_(kernel, scale)
        return merged

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        scales, *kernels = ctx.saved_tensors
        taps = [_taps(grad, window) for window in ctx.windows]
        to_scales = None
        if ctx.needs_input_grad[0]:
            to_scales = torch.stack([(part * kernel).sum() for part, kernel in zip(taps, kernels, strict=True)])
        to_kernels = [
            part * scale if wanted else None
            for part, scale, wanted in zip(taps, scales.unbind(), ctx.needs_input_grad[2:], strict=True)
        ]
        return to_scales, None, *to_kernels


def _taps(kernel: Tensor, window: _Window) -> Tensor:
    """The part of a common kernel that a member covers."""
    start = (kernel.shape[-1] - (window.step * (window.side - 1) + 1)) // 2
    part = slice(start, start + window.step * (window.side - 1) + 1, window.step)
    return kernel[window.row : window.row + window.rows, window.column : window.column + window.columns, part, part]
