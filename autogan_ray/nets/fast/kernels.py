"""The weighted kernels and biases of all groups of a network, made together.

One by one they would be thousands of calls on small tensors a step, and of such calls a step of small networks, or one
on a fast GPU, consists. So weights of one shape are stacked: their power iterations run together, and their shares
multiply them together. And pairs of nodes whose members are alike have their kernels put into each other together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from autogan_ray.nets.fast.asked import Asked, into_runs, shares_of
from autogan_ray.nets.fast.merged import Group, Member, Shares
from autogan_ray.nets.spectral import SpectralNorm, is_spectral, norm_of, original, sigmas, site_of, stacked

Taps = tuple[int, int, int]


class Stack(NamedTuple):
    """Members whose weights have one shape.

    Args:
        sites: of their weights.
        norms: spectral norms, of all of them or of none.
        parts: of each slot, how many.
    """

    asked: tuple[Asked, ...]
    sites: tuple[tuple[nn.Module, str], ...]
    norms: tuple[SpectralNorm, ...]
    parts: tuple[int, ...]

    @classmethod
    def of(cls, slots: Sequence[Sequence[Asked]], spectral: bool) -> Stack:
        asked = tuple(one for slot in slots for one in slot)
        layers = [one.member.layer for one in asked]
        norms = tuple(norm_of(layer) for layer in layers) if spectral else ()
        return cls(asked, tuple(site_of(layer) for layer in layers), norms, tuple(len(slot) for slot in slots))

    @property
    def weights(self) -> list[Tensor]:
        return [getattr(*site) for site in self.sites]


class Slot(NamedTuple):
    """A member of each pair of a block. Args: stack, part: where they are; taps: which of the kernel's."""

    stack: int
    part: int
    taps: Taps


class Block(NamedTuple):
    """Pairs of nodes with alike members. Args: side: of the kernels; runs: as how many pairs they are asked for."""

    side: int
    slots: tuple[Slot, ...]
    runs: tuple[int, ...]


class Site(NamedTuple):
    """Of a group's kernel. Args: runs: (block, number of the run) of its pairs; targets, sources: how many."""

    runs: tuple[tuple[int, int], ...]
    targets: int
    sources: int


@dataclass(frozen=True, eq=False)  # compared by identity, as a group is
class Kernels:
    """Of the groups of some cells. Args: sites: of each group, one cell after the other."""

    stacks: tuple[Stack, ...]
    blocks: tuple[Block, ...]
    sites: tuple[Site, ...]

    @classmethod
    def of(cls, cells: Sequence[Sequence[Group]]) -> Kernels:
        """Args: cells: the groups of each, by their numbers."""
        alike: dict[tuple[Any, ...], list[list[list[Asked]]]] = {}  # form of a pair -> runs of pairs
        found: list[tuple[list[tuple[tuple[Any, ...], int]], int, int]] = []
        for cell, groups in enumerate(cells):
            for group in groups:
                pairs = [_in_order(group, cell, pair) for row in group.pairs for pair in row]
                at = into_runs(alike, [_form(group, pair) for pair in pairs], pairs)
                found.append((at, len(group.pairs), len(group.pairs[0])))
        stacks: dict[tuple[Any, ...], list[list[Asked]]] = {}  # of a slot each
        blocks = tuple(_block(form, runs, stacks) for form, runs in alike.items())
        numbers = {form: number for number, form in enumerate(alike)}
        return cls(
            tuple(Stack.of(slots, spectral) for (_, spectral), slots in stacks.items()),
            blocks,
            tuple(Site(tuple((numbers[form], run) for form, run in at), *size) for at, *size in found),
        )

    def weighted(self, shares: Sequence[Shares], dtype: torch.dtype | None) -> list[Tensor]:
        """Of each group. Args: shares: of each cell's edges; dtype: to round to; None leaves them as they are."""
        if not self.sites:
            return []
        weights = [stack.weights for stack in self.stacks]
        last = any(not some[0].is_contiguous() for some in weights)  # those of 1x1 are laid out in both ways
        factors = shares_of([one for stack in self.stacks for one in stack.asked], shares)
        parts = factors.split([len(stack.asked) for stack in self.stacks])
        scaled = [_scaled(*one, last) for one in zip(self.stacks, weights, parts, strict=True)]
        blocks = [_placed(block, scaled, last, dtype).split(block.runs) for block in self.blocks]
        return [_kernel(site, blocks, last) for site in self.sites]


def _in_order(group: Group, cell: int, pair: Sequence[Member]) -> list[Asked]:
    """Alike members of other pairs come in the same order; one that covers the whole kernel comes first."""
    return [Asked(cell, member) for member in sorted(pair, key=lambda member: _slot_form(group, member))]


def _slot_form(group: Group, member: Member) -> tuple[Any, ...]:
    taps = group.kind.taps(member)
    return taps != (0, group.kind.side, 1), tuple(original(member.layer).shape), is_spectral(member.layer), taps


def _form(group: Group, pair: Sequence[Asked]) -> tuple[Any, ...]:
    """Pairs of one form can be computed together."""
    return group.kind.side, *(_slot_form(group, asked.member) for asked in pair)


def _block(
    form: tuple[Any, ...], runs: Sequence[Sequence[Sequence[Asked]]], stacks: dict[tuple[Any, ...], list[list[Asked]]]
) -> Block:
    """Adds the members to the stacks of their shapes, a slot after the other."""
    side, *slot_forms = form
    slots = []
    for position, (_, shape, spectral, taps) in enumerate(slot_forms):
        stack = stacks.setdefault((shape, spectral), [])
        slots.append(Slot(list(stacks).index((shape, spectral)), len(stack), taps))
        stack.append([pair[position] for run in runs for pair in run])
    return Block(side, tuple(slots), tuple(len(run) for run in runs))


def _scaled(stack: Stack, weights: Sequence[Tensor], shares: Tensor, last: bool) -> Sequence[Tensor]:
    """Of each slot the weighted weights [n, rows, columns, side, side], divided by their spectral norms."""
    whole = stacked(weights, last)
    if stack.norms:
        shares = shares / sigmas(stack.norms, whole)
    return (whole * shares.view(-1, 1, 1, 1, 1)).split(stack.parts)


def _placed(block: Block, scaled: Sequence[Sequence[Tensor]], last: bool, dtype: torch.dtype | None) -> Tensor:
    """The sums of a block's slots [pairs, rows, columns, side, side]."""
    parts = [scaled[slot.stack][slot.part] for slot in block.slots]
    taps = tuple(slice(*slot.taps) for slot in block.slots)
    whole = len(parts) == 1 and parts[0].shape[-1] == block.side
    placed: Tensor = parts[0] if whole else _Place.apply(block.side, last, taps, *parts)
    return placed if dtype is None else placed.to(dtype)


class _Place(torch.autograd.Function):
    """Kernels -> their sum, each at its taps; twice differentiable."""

    @staticmethod
    def forward(ctx: Any, side: int, last: bool, taps: Sequence[slice], *parts: Tensor) -> Tensor:
        ctx.taps = taps
        first = parts[0]
        whole = first.shape[-1] == side
        if whole:
            total = first.clone()
        elif last:
            count, rows, columns = first.shape[:3]
            total = first.new_zeros(count, rows, side, side, columns).permute(0, 1, 4, 2, 3)
        else:
            total = first.new_zeros(*first.shape[:3], side, side)
        for part, some in list(zip(parts, taps, strict=True))[whole:]:
            total[..., some, some].add_(part)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, None, *(grad[..., some, some] for some in ctx.taps)


def _kernel(site: Site, blocks: Sequence[Sequence[Tensor]], last: bool) -> Tensor:
    """[targets x rows, sources x columns, side, side], laid out as weights are."""
    runs = [blocks[block][run] for block, run in site.runs]
    if len(runs) > 1:  # a pair each
        pairs = iter([run[0] for run in runs])
        return torch.cat([torch.cat([next(pairs) for _ in range(site.sources)], 1) for _ in range(site.targets)])
    _, rows, columns, side, _ = runs[0].shape
    if last:
        kernel = runs[0].permute(0, 1, 3, 4, 2).view(site.targets, site.sources, rows, side, side, columns)
        kernel = kernel.permute(0, 2, 3, 4, 1, 5).reshape(site.targets * rows, side, side, site.sources * columns)
        return kernel.permute(0, 3, 1, 2)
    kernel = runs[0].view(site.targets, site.sources, rows, columns, side, side).transpose(1, 2)
    return kernel.reshape(site.targets * rows, site.sources * columns, side, side)
