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

from autogan_ray.nets.ops import same_conv
from autogan_ray.nets.spectral import inverse_norms, original
from autogan_ray.nets.tap import Tap
from autogan_ray.nets.total import Total


class Member(NamedTuple):
    """A choice that is one convolution. Args: arrow: name of the edge; number: of the choice; lead: what it reads."""

    arrow: str
    source: str
    target: str
    number: int
    lead: str
    layer: nn.Conv2d

    @property
    def side(self) -> int:
        return self.layer.kernel_size[0]

    @property
    def dilation(self) -> int:
        return self.layer.dilation[0]


class Kind(NamedTuple):
    """What convolutions have in common that can be one: a kernel of ``side`` taps at ``dilation`` covers them all."""

    lead: str
    stride: int
    bias: bool
    side: int
    dilation: int


def kinds_of(members: Sequence[Member]) -> Iterator[tuple[Kind, Member]]:
    """Of one edge. A dilated kernel joins the dense one where that is large enough anyway; else it stands alone."""
    sets: dict[tuple[str, int, bool], list[Member]] = {}
    for member in members:
        common = member.lead, member.layer.stride[0], member.layer.bias is not None
        sets.setdefault(common, []).append(member)
    for common, some in sets.items():
        dense = max((member.side for member in some if member.dilation == 1), default=0)
        apart: dict[int, list[Member]] = {}
        for member in some:
            span = member.dilation * (member.side - 1) + 1
            apart.setdefault(1 if span <= dense else member.dilation, []).append(member)
        for dilation, same in apart.items():
            side = dense if dilation == 1 else max(member.side for member in same)
            yield from ((Kind(*common, side, dilation), member) for member in same)


Shares = Mapping[str, Sequence[Tensor]]
"""Of each edge, by its name: a factor for each of its choices, 0-dim."""


class Mixture(NamedTuple):
    """Args: shares: of the outputs; scales: of the kernels, where a spectral norm is divided into them."""

    shares: Shares
    scales: Shares

    @classmethod
    def of(cls, shares: Shares, spectral: Sequence[Member]) -> Mixture:
        """Args: spectral: the members with a spectral norm."""
        if not spectral:
            return cls(shares, shares)
        own = torch.stack([shares[member.arrow][member.number] for member in spectral])
        scales = {arrow: list(some) for arrow, some in shares.items()}
        scaled = own * inverse_norms([member.layer for member in spectral])
        for member, scale in zip(spectral, scaled.unbind(), strict=True):
            scales[member.arrow][member.number] = scale
        return cls(shares, scales)


@dataclass(frozen=True, eq=False)  # compared by identity: torch.compile hashes it before it has its fields
class Group:
    """Convolutions of one kind from some nodes side by side into others side by side.

    Args:
        members: in the order of their targets.
        counts: of each target, how many members lead to it.
        windows: of each member, the taps of the common kernel that it covers: channels out and in, then pixels.
        shape: of the common kernel.
    """

    kind: Kind
    members: tuple[Member, ...]
    counts: tuple[int, ...]
    windows: tuple[tuple[slice, ...], ...]
    shape: tuple[int, int, int, int]

    @classmethod
    def of(cls, kind: Kind, sources: Sequence[str], targets: Sequence[str], members: Sequence[Member]) -> Group:
        ordered = sorted(members, key=lambda member: targets.index(member.target))
        widths = {member.source: member.layer.in_channels for member in ordered}
        starts = {source: sum(widths[before] for before in sources[:n]) for n, source in enumerate(sources)}
        rows = ordered[0].layer.out_channels
        windows = []
        for member in ordered:
            row, column = targets.index(member.target) * rows, starts[member.source]
            taps = _taps(member, kind)
            windows.append((slice(row, row + rows), slice(column, column + widths[member.source]), taps, taps))
        counts = tuple(sum(member.target == target for member in ordered) for target in targets)
        shape = (len(targets) * rows, sum(widths.values()), kind.side, kind.side)
        return cls(kind, tuple(ordered), counts, tuple(windows), shape)

    def onto(self, total: Total, tap: Tap, mixture: Mixture) -> None:
        """Adds the weighted sums, the targets side by side. Args: tap: the sources side by side."""
        kernel, bias = self._merged(mixture)
        total.add(same_conv(tap.lead(self.kind.lead), kernel, bias, self.kind.stride, self.kind.dilation), fresh=True)

    def _merged(self, mixture: Mixture) -> tuple[Tensor, Tensor | None]:
        """Kernel and bias."""
        scales = torch.stack([mixture.scales[member.arrow][member.number] for member in self.members])
        layers = [member.layer for member in self.members]
        kernel = _Merge.apply(scales, self.shape, self.windows, *map(original, layers))
        biases = [layer.bias for layer in layers if layer.bias is not None]
        if not biases:
            return kernel, None
        # Products and sums, not a matrix product: autocast would make that one of half precision.
        shares = torch.stack([mixture.shares[member.arrow][member.number] for member in self.members])
        rows = torch.stack(biases) * shares.unsqueeze(1)
        return kernel, torch.cat([some.sum(0) for some in rows.split(self.counts)])


def _taps(member: Member, kind: Kind) -> slice:
    """Of one direction: a member's taps among those of the common kernel."""
    step = member.dilation // kind.dilation
    span = step * (member.side - 1) + 1
    start = (kind.side - span) // 2
    return slice(start, start + span, step)


class _Merge(torch.autograd.Function):
    """(scales [n], n kernels) -> the sum of scaled kernels, each at its window; twice differentiable."""

    @staticmethod
    def forward(
        ctx: Any, scales: Tensor, shape: tuple[int, ...], windows: Sequence[tuple[slice, ...]], *kernels: Tensor
    ) -> Tensor:
        ctx.save_for_backward(scales, *kernels)
        ctx.windows = windows
        largest = max(kernels, key=lambda kernel: kernel.shape[-1])
        # 1x1 kernels are laid out in both ways: then as the activations are, which decide where a kernel does not.
        order = torch.contiguous_format if largest.is_contiguous() else torch.channels_last
        merged = torch.empty(shape, dtype=largest.dtype, device=largest.device, memory_format=order).zero_()
        for scale, kernel, window in zip(scales.unbind(), kernels, windows, strict=True):
            merged[window].addcmul_(kernel, scale)
        return merged

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        scales, *kernels = ctx.saved_tensors
        taps = [grad[window] for window in ctx.windows]
        to_scales = None
        if ctx.needs_input_grad[0]:
            to_scales = torch.stack([(part * kernel).sum() for part, kernel in zip(taps, kernels, strict=True)])
        to_kernels = [
            part * scale if wanted else None
            for part, scale, wanted in zip(taps, scales.unbind(), ctx.needs_input_grad[3:], strict=True)
        ]
        return to_scales, None, None, *to_kernels
