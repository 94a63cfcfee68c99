"""All that architecture weights multiply in a network, computed together before its first cell runs.

Convolution by convolution these would be thousands of calls on small tensors a step, and of such calls a step of small
networks, or one on a fast GPU, consists. So kernels of one shape are stacked: their power iterations run together, and
their architecture weights multiply them together. And pairs of nodes whose convolutions are alike have their kernels
put into each other together.

An example with one channel. The edges e0: a -> b and e1: a -> c have the choices conv_1x1 and conv_3x3, without biases:

                   conv_1x1 (weight)    conv_3x3 (weight)
    e0: a -> b     4        (0.25)      1 everywhere (0.75)
    e1: a -> c     2        (0.50)      3 everywhere (0.50)

Both convolutions read ReLU(a), and a 3x3 kernel covers both: they are one group of two pairs of nodes, (a, b) and
(a, c), and these are alike. Each pair has two slots: a 3x3 kernel, which covers the whole, and a 1x1 kernel at the
centre, positions 1:2. So there are two stacks, with a part for each slot:

    stack of 3x3 kernels [2, 1, 1, 3, 3]:  1 everywhere, 3 everywhere;   times [0.75, 0.5]:  0.75 and 1.5 everywhere
    stack of 1x1 kernels [2, 1, 1, 1, 1]:  4, 2;                         times [0.25, 0.5]:  1 and 1

The 1x1 kernels are added at the centre of the 3x3 kernels, [2, 1, 1, 3, 3], and the pairs are laid out as the kernel of
one convolution from a into b and c side by side, [2, 1, 3, 3]:

    a -> b:  0.75 0.75 0.75        a -> c:  1.5  1.5  1.5
             0.75 1.75 0.75                 1.5  2.5  1.5
             0.75 0.75 0.75                 1.5  1.5  1.5
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from autogan_ray.nets.fast.grouping import ArchitectureWeights, CellPlan, ConvChoice, ConvGroup, WeightedParameters
from autogan_ray.nets.fast.operation import Affine, SplitOperation
from autogan_ray.nets.spectral import SpectralNorm, is_spectral, norm_of, original, sigmas, site_of, stacked

Positions = tuple[int, int, int]
"""(start, stop, step) of a kernel inside of a larger one, in both directions."""
Form = TypeVar("Form")
Item = TypeVar("Item")
Run = tuple[Form, int]
"""Where items of one form are: the form, and the number of the run among those of that form."""


@dataclass(frozen=True, eq=False)  # compared by identity, as a plan is
class NetworkWeighting:
    """How the weighted parameters of some cells are made: the same each time, until choices are dropped.

    Args:
        counts: of each cell, how many groups of convolutions it has.
    """

    counts: tuple[int, ...]
    kernels: Kernels
    biases: Biases
    affines: Affines

    @classmethod
    def of(cls, plans: Sequence[CellPlan]) -> NetworkWeighting:
        """Args: plans: of each cell."""
        groups = [plan.groups for plan in plans]
        counts = tuple(len(members) for members in groups)
        return cls(counts, Kernels.of(groups), Biases.of(groups), Affines.of([plan.alone for plan in plans]))

    def weighted(self, weights: Sequence[ArchitectureWeights], dtype: torch.dtype | None) -> list[WeightedParameters]:
        """The weighted parameters of each cell.

        Args:
            weights: the architecture weights in each cell.
            dtype: kernels and biases are rounded to it, once and after all sums; None leaves them as they are.
        """
        device = next((weight.device.type for cell in weights for row in cell.values() for weight in row), "cpu")
        with torch.autocast(device, enabled=False):
            kernels, biases = self.kernels.weighted(weights, dtype), self.biases.weighted(weights, dtype)
            affines = self.affines.weighted(weights)
        parameters, start = [], 0
        for cell, count, norms in zip(weights, self.counts, affines, strict=True):
            stop = start + count
            parameters.append(WeightedParameters(cell, kernels[start:stop], biases[start:stop], norms))
            start = stop
        return parameters


class CellConv(NamedTuple):
    """A convolution, and the number of the cell whose architecture weights weight it."""

    cell: int
    conv: ConvChoice


def weights_of(convs: Sequence[CellConv], weights: Sequence[ArchitectureWeights]) -> Tensor:
    """The architecture weights of some convolutions [n]."""
    return torch.stack([weights[cell][conv.edge][conv.number] for cell, conv in convs])


def in_runs(runs: dict[Form, list[list[Item]]], forms: Sequence[Form], items: Sequence[Item]) -> list[Run[Form]]:
    """Adds the items of a group to ``runs`` (form -> its runs): as one run where all have one form, else one by one.

    Returns:
        Where they are: one entry for the single run, or one for each item.
    """
    together = all(form == forms[0] for form in forms)
    added = [(forms[0], list(items))] if together else [(f, [item]) for f, item in zip(forms, items, strict=True)]
    places = []
    for form, run in added:
        known = runs.setdefault(form, [])
        places.append((form, len(known)))
        known.append(run)
    return places


# --- kernels --------------------------------------------------------------------------------------------------------


class Stack(NamedTuple):
    """Convolutions whose weights have one shape.

    Args:
        sites: module and name of each weight.
        norms: the spectral norms, of all of them or of none.
        parts: how many belong to each slot.
    """

    convs: tuple[CellConv, ...]
    sites: tuple[tuple[nn.Module, str], ...]
    norms: tuple[SpectralNorm, ...]
    parts: tuple[int, ...]

    @classmethod
    def of(cls, slots: Sequence[Sequence[CellConv]], spectral: bool) -> Stack:
        convs = tuple(conv for slot in slots for conv in slot)
        layers = [conv.layer for _, conv in convs]
        norms = tuple(norm_of(layer) for layer in layers) if spectral else ()
        return cls(convs, tuple(site_of(layer) for layer in layers), norms, tuple(len(slot) for slot in slots))

    @property
    def weights(self) -> list[Tensor]:
        return [getattr(*site) for site in self.sites]


class Slot(NamedTuple):
    """One convolution of each of some alike pairs.

    Args:
        stack, part: the stack that holds their weights, and the part of it.
        positions: where these are in the common kernel.
    """

    stack: int
    part: int
    positions: Positions


class AlikePairs(NamedTuple):
    """Pairs of nodes between which convolutions are alike, so that their kernels are put into each other together.

    Args:
        side: of the common kernels.
        runs: of each run of pairs, how many they are.
    """

    side: int
    slots: tuple[Slot, ...]
    runs: tuple[int, ...]


class GroupKernel(NamedTuple):
    """Of what the kernel of one group consists.

    Args:
        runs: (number of the alike pairs, number of the run), once for all its pairs or for each of them.
        targets, sources: how many it leads to, and from.
    """

    runs: tuple[tuple[int, int], ...]
    targets: int
    sources: int


@dataclass(frozen=True, eq=False)
class Kernels:
    """How the kernels of the groups of some cells are made. Args: groups: of one cell after the other."""

    stacks: tuple[Stack, ...]
    alike: tuple[AlikePairs, ...]
    groups: tuple[GroupKernel, ...]

    @classmethod
    def of(cls, cells: Sequence[Sequence[ConvGroup]]) -> Kernels:
        """Args: cells: the groups of each cell, by their numbers."""
        runs: dict[tuple[Any, ...], list[list[list[CellConv]]]] = {}  # form of a pair -> runs of pairs
        places: list[tuple[list[Run[tuple[Any, ...]]], int, int]] = []
        for cell, groups in enumerate(cells):
            for group in groups:
                pairs = [_in_order(group, cell, pair) for row in group.pairs for pair in row]
                placed = in_runs(runs, [_pair_form(group, pair) for pair in pairs], pairs)
                places.append((placed, len(group.pairs), len(group.pairs[0])))
        slots: dict[tuple[Any, ...], list[list[CellConv]]] = {}  # (shape, whether spectral) -> slots of a stack
        alike = tuple(_alike_pairs(form, of_form, slots) for form, of_form in runs.items())
        numbers = {form: number for number, form in enumerate(runs)}
        return cls(
            tuple(Stack.of(members, spectral) for (_, spectral), members in slots.items()),
            alike,
            tuple(GroupKernel(tuple((numbers[form], run) for form, run in at), *size) for at, *size in places),
        )

    def weighted(self, weights: Sequence[ArchitectureWeights], dtype: torch.dtype | None) -> list[Tensor]:
        """The kernel of each group [targets x rows, sources x columns, side, side]."""
        if not self.groups:
            return []
        stacks = [stack.weights for stack in self.stacks]
        last = any(not members[0].is_contiguous() for members in stacks)  # 1x1 kernels are laid out in both ways
        factors = weights_of([conv for stack in self.stacks for conv in stack.convs], weights)
        parts = factors.split([len(stack.convs) for stack in self.stacks])
        scaled = [_scaled(*item, last) for item in zip(self.stacks, stacks, parts, strict=True)]
        pairs = [_put_together(alike, scaled, last, dtype).split(alike.runs) for alike in self.alike]
        return [_laid_out(group, pairs, last) for group in self.groups]


def _in_order(group: ConvGroup, cell: int, pair: Sequence[ConvChoice]) -> list[CellConv]:
    """Alike convolutions of all pairs come in the same order; one that covers the whole kernel comes first."""
    return [CellConv(cell, conv) for conv in sorted(pair, key=lambda conv: _slot_form(group, conv))]


def _slot_form(group: ConvGroup, conv: ConvChoice) -> tuple[Any, ...]:
    positions = group.form.positions(conv)
    whole = (0, group.form.side, 1)
    return positions != whole, tuple(original(conv.layer).shape), is_spectral(conv.layer), positions


def _pair_form(group: ConvGroup, pair: Sequence[CellConv]) -> tuple[Any, ...]:
    """Pairs of one form are alike."""
    return group.form.side, *(_slot_form(group, conv) for _, conv in pair)


def _alike_pairs(
    form: tuple[Any, ...],
    runs: Sequence[Sequence[Sequence[CellConv]]],
    slots: dict[tuple[Any, ...], list[list[CellConv]]],
) -> AlikePairs:
    """The pairs of one form; their convolutions are added to ``slots``, one slot after the other."""
    side, *slot_forms = form
    added = []
    for position, (_, shape, spectral, positions) in enumerate(slot_forms):
        stack = slots.setdefault((shape, spectral), [])
        added.append(Slot(list(slots).index((shape, spectral)), len(stack), positions))
        stack.append([pair[position] for run in runs for pair in run])
    return AlikePairs(side, tuple(added), tuple(len(run) for run in runs))


def _scaled(stack: Stack, kernels: Sequence[Tensor], weights: Tensor, last: bool) -> Sequence[Tensor]:
    """The weighted kernels of each slot [n, rows, columns, side, side], divided by their spectral norms."""
    whole = stacked(kernels, last)
    if stack.norms:
        weights = weights / sigmas(stack.norms, whole)
    return (whole * weights.view(-1, 1, 1, 1, 1)).split(stack.parts)


def _put_together(
    alike: AlikePairs, scaled: Sequence[Sequence[Tensor]], last: bool, dtype: torch.dtype | None
) -> Tensor:
    """The sum of the slots of each pair [pairs, rows, columns, side, side]."""
    parts = [scaled[slot.stack][slot.part] for slot in alike.slots]
    positions = tuple(slice(*slot.positions) for slot in alike.slots)
    whole = len(parts) == 1 and parts[0].shape[-1] == alike.side
    kernels: Tensor = parts[0] if whole else _SumInside.apply(alike.side, last, positions, *parts)
    return kernels if dtype is None else kernels.to(dtype)


class _SumInside(torch.autograd.Function):
    """Kernels -> their sum, each at its positions in a kernel of ``side``; twice differentiable."""

    @staticmethod
    def forward(ctx: Any, side: int, last: bool, positions: Sequence[slice], *parts: Tensor) -> Tensor:
        ctx.positions = positions
        first = parts[0]
        whole = first.shape[-1] == side
        if whole:
            total = first.clone()
        elif last:
            count, rows, columns = first.shape[:3]
            total = first.new_zeros(count, rows, side, side, columns).permute(0, 1, 4, 2, 3)
        else:
            total = first.new_zeros(*first.shape[:3], side, side)
        for part, at in list(zip(parts, positions, strict=True))[whole:]:
            total[..., at, at].add_(part)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, None, *(grad[..., at, at] for at in ctx.positions)


def _laid_out(group: GroupKernel, pairs: Sequence[Sequence[Tensor]], last: bool) -> Tensor:
    """The kernel of a group [targets x rows, sources x columns, side, side], laid out as weights are."""
    runs = [pairs[number][run] for number, run in group.runs]
    if len(runs) > 1:  # one pair each
        single = iter([run[0] for run in runs])
        return torch.cat([torch.cat([next(single) for _ in range(group.sources)], 1) for _ in range(group.targets)])
    _, rows, columns, side, _ = runs[0].shape
    if last:
        kernel = runs[0].permute(0, 1, 3, 4, 2).view(group.targets, group.sources, rows, side, side, columns)
        kernel = kernel.permute(0, 2, 3, 4, 1, 5).reshape(group.targets * rows, side, side, group.sources * columns)
        return kernel.permute(0, 3, 1, 2)
    kernel = runs[0].view(group.targets, group.sources, rows, columns, side, side).transpose(1, 2)
    return kernel.reshape(group.targets * rows, group.sources * columns, side, side)


# --- biases ---------------------------------------------------------------------------------------------------------


class BiasSums(NamedTuple):
    """Sums of equally many biases of one length.

    Args:
        convs: whose biases these are, one sum after the other.
        runs: of each run of sums, how many they are.
        terms: how many biases enter one sum.
    """

    convs: tuple[CellConv, ...]
    runs: tuple[int, ...]
    terms: int


@dataclass(frozen=True, eq=False)
class Biases:
    """How the biases of the groups of some cells are made. Args: groups: the runs of each; None without biases."""

    sums: tuple[BiasSums, ...]
    groups: tuple[tuple[tuple[int, int], ...] | None, ...]

    @classmethod
    def of(cls, cells: Sequence[Sequence[ConvGroup]]) -> Biases:
        """Args: cells: the groups of each cell, by their numbers."""
        runs: dict[tuple[int, int], list[list[list[CellConv]]]] = {}  # (length, terms) -> runs of targets
        places: list[list[Run[tuple[int, int]]] | None] = []
        for cell, groups in enumerate(cells):
            for group in groups:
                if not group.form.bias:
                    places.append(None)
                    continue
                targets = [[CellConv(cell, conv) for pair in row for conv in pair] for row in group.pairs]
                length = group.convs[0].layer.out_channels
                places.append(in_runs(runs, [(length, len(target)) for target in targets], targets))
        sums = tuple(
            BiasSums(tuple(c for run in of_form for target in run for c in target), tuple(map(len, of_form)), terms)
            for (_, terms), of_form in runs.items()
        )
        numbers = {form: number for number, form in enumerate(runs)}
        groups_ = tuple(None if at is None else tuple((numbers[form], run) for form, run in at) for at in places)
        return cls(sums, groups_)

    def weighted(self, weights: Sequence[ArchitectureWeights], dtype: torch.dtype | None) -> list[Tensor | None]:
        """The bias of each group [targets x rows]."""
        if not self.sums:
            return [None] * len(self.groups)
        factors = weights_of([conv for part in self.sums for conv in part.convs], weights)
        parts = factors.split([len(part.convs) for part in self.sums])
        summed = [_summed(*item, dtype).split(item[0].runs) for item in zip(self.sums, parts, strict=True)]
        biases: list[Tensor | None] = []
        for places in self.groups:
            runs = None if places is None else [summed[number][run].flatten() for number, run in places]
            biases.append(None if runs is None else runs[0] if len(runs) == 1 else torch.cat(runs))
        return biases


def _summed(sums: BiasSums, weights: Tensor, dtype: torch.dtype | None) -> Tensor:
    """[sums, rows]"""
    biases: list[Any] = [conv.layer.bias for _, conv in sums.convs]
    # Products and sums, not a matrix product: that may have fewer digits on a GPU.
    products = torch.stack(biases) * weights.unsqueeze(1)
    summed = products.view(-1, sums.terms, products.shape[1]).sum(1)
    return summed if dtype is None else summed.to(dtype)


# --- batch norms ----------------------------------------------------------------------------------------------------


class FoldedNorm(NamedTuple):
    """A batch norm, and the choice whose architecture weight folds into it."""

    cell: int
    edge: str
    number: int
    layer: nn.BatchNorm2d


@dataclass(frozen=True, eq=False)
class Affines:
    """How the weights and biases of batch norms are weighted. Args: stacks: those of one length, affine or not."""

    stacks: tuple[tuple[FoldedNorm, ...], ...]

    @classmethod
    def of(cls, cells: Sequence[Sequence[tuple[str, int, SplitOperation]]]) -> Affines:
        """Args: cells: of each cell the operations that run by themselves: (edge, number of the choice, operation)."""
        alike: dict[tuple[int, bool], list[FoldedNorm]] = {}
        for cell, operations in enumerate(cells):
            for edge, number, operation in operations:
                folding = operation.folding_layer
                layer = operation.layers[folding] if folding >= 0 else None
                if isinstance(layer, nn.BatchNorm2d):
                    folded = FoldedNorm(cell, edge, number, layer)
                    alike.setdefault((layer.num_features, layer.affine), []).append(folded)
        return cls(tuple(tuple(norms) for norms in alike.values()))

    def weighted(self, weights: Sequence[ArchitectureWeights]) -> list[dict[tuple[str, int], Affine]]:
        """Of each cell: (edge, number of the choice) -> weight and bias. The norms, which are to run, count a batch."""
        affines: list[dict[tuple[str, int], Affine]] = [{} for _ in weights]
        self._count_a_batch()
        for norms in self.stacks:
            factors = torch.stack([weights[norm.cell][norm.edge][norm.number] for norm in norms]).unsqueeze(1)
            biases: Sequence[Tensor | None] = [None] * len(norms)
            if norms[0].layer.affine:
                scales = _stacked(norms, "weight") * factors
                biases = (_stacked(norms, "bias") * factors).unbind()
            else:
                # Laid out in full: torch's channels-last kernel would read an expanded vector past its end.
                scales = factors.expand(-1, norms[0].layer.num_features).contiguous()
            for norm, scale, bias in zip(norms, scales.unbind(), biases, strict=True):
                affines[norm.cell][norm.edge, norm.number] = scale, bias
        return affines

    def _count_a_batch(self) -> None:
        layers = [norm.layer for norms in self.stacks for norm in norms]
        counters = [layer.num_batches_tracked for layer in layers if layer.training]
        tracked = [counter for counter in counters if counter is not None]
        if tracked:
            torch._foreach_add_(tracked, 1)


def _stacked(norms: Sequence[FoldedNorm], name: str) -> Tensor:
    parts: list[Any] = [getattr(norm.layer, name) for norm in norms]
    return torch.stack(parts)
