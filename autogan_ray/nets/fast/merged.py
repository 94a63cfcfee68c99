"""Convolutions that add up, as one: those that read the same tensors, and those whose outputs enter the same sums.

sum_k w_k (W_k * x + b_k) = (sum_k w_k W_k) * x + sum_k w_k b_k: exact for any kernels of one stride whose centres
agree, spectral norm included (it only rescales W_k). So five convolutions of an AdversarialNAS edge become two. And a
kernel is a matrix over channels: edges from two nodes into two others are one convolution of the nodes side by side,
whose kernel has a block an edge. Twenty convolutions become two then, as wide as processors like them, and one
activation is kept for the backward pass instead of forty.

Here is which convolutions these are; their kernels are made in :mod:`~autogan_ray.nets.fast.kernels`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from autogan_ray.nets.fast.branch import Affine
from autogan_ray.nets.fast.tap import Tap
from autogan_ray.nets.fast.total import Total
from autogan_ray.nets.ops import same_conv


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

    def taps(self, member: Member) -> tuple[int, int, int]:
        """Of one direction: (start, stop, step) of a member's taps among those of the common kernel."""
        step = member.dilation // self.dilation
        span = step * (member.side - 1) + 1
        start = (self.side - span) // 2
        return start, start + span, step


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
    """Of a cell, in one forward pass; all weighted.

    Args:
        kernels, biases: of its groups, by their numbers.
        affines: (edge, number of the choice) -> what the choice's share folds into.
    """

    shares: Shares
    kernels: Sequence[Tensor]
    biases: Sequence[Tensor | None]
    affines: Mapping[tuple[str, int], Affine]


@dataclass(frozen=True, eq=False)  # compared by identity: torch.compile hashes it before it has its fields
class Group:
    """Convolutions of one kind from some nodes side by side into others side by side.

    Args:
        number: among the groups of its cell.
        pairs: [targets][sources]: the members that lead from one to the other, at least one.
    """

    kind: Kind
    number: int
    pairs: tuple[tuple[tuple[Member, ...], ...], ...]

    @classmethod
    def of(
        cls, kind: Kind, number: int, sources: Sequence[str], targets: Sequence[str], members: Sequence[Member]
    ) -> Group:
        pairs = tuple(
            tuple(tuple(one for one in members if (one.source, one.target) == (source, target)) for source in sources)
            for target in targets
        )
        return cls(kind, number, pairs)

    @property
    def members(self) -> list[Member]:
        """In the order of their targets."""
        return [member for row in self.pairs for pair in row for member in pair]

    def onto(self, total: Total, tap: Tap, mixture: Mixture) -> None:
        """Adds the weighted sums, the targets side by side. Args: tap: the sources side by side."""
        kind, kernel, bias = self.kind, mixture.kernels[self.number], mixture.biases[self.number]
        total.add(same_conv(tap.lead(kind.lead), kernel, bias, kind.stride, kind.dilation), fresh=True)
