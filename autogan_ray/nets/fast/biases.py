"""The weighted biases of all groups of a network, made together; :mod:`~autogan_ray.nets.fast.kernels` makes kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from autogan_ray.nets.fast.asked import Asked, into_runs, shares_of
from autogan_ray.nets.fast.merged import Group, Shares


class Sums(NamedTuple):
    """Biases that enter sums of as many. Args: runs: as how many sums they are asked for; each: how many enter one."""

    asked: tuple[Asked, ...]
    runs: tuple[int, ...]
    each: int


@dataclass(frozen=True, eq=False)
class Biases:
    """Of the groups of some cells. Args: sites: of each group the runs of its targets, None without biases."""

    sums: tuple[Sums, ...]
    sites: tuple[tuple[tuple[int, int], ...] | None, ...]

    @classmethod
    def of(cls, cells: Sequence[Sequence[Group]]) -> Biases:
        alike: dict[tuple[int, int], list[list[list[Asked]]]] = {}  # (length, count) -> runs of targets
        found: list[list[tuple[tuple[int, int], int]] | None] = []
        for cell, groups in enumerate(cells):
            for group in groups:
                if not group.kind.bias:
                    found.append(None)
                    continue
                targets = [[Asked(cell, member) for pair in row for member in pair] for row in group.pairs]
                rows = group.members[0].layer.out_channels
                found.append(into_runs(alike, [(rows, len(target)) for target in targets], targets))
        sums = tuple(
            Sums(tuple(one for run in runs for target in run for one in target), tuple(map(len, runs)), each)
            for (_, each), runs in alike.items()
        )
        numbers = {form: number for number, form in enumerate(alike)}
        sites = tuple(None if at is None else tuple((numbers[form], run) for form, run in at) for at in found)
        return cls(sums, sites)

    def weighted(self, shares: Sequence[Shares], dtype: torch.dtype | None) -> list[Tensor | None]:
        """Of each group [targets x rows]. Args: dtype: to round to; None leaves them as they are."""
        if not self.sums:
            return [None] * len(self.sites)
        factors = shares_of([one for some in self.sums for one in some.asked], shares)
        parts = factors.split([len(some.asked) for some in self.sums])
        summed = [_summed(some, part, dtype).split(some.runs) for some, part in zip(self.sums, parts, strict=True)]
        found: list[Tensor | None] = []
        for site in self.sites:
            runs = None if site is None else [summed[number][run].flatten() for number, run in site]
            found.append(None if runs is None else runs[0] if len(runs) == 1 else torch.cat(runs))
        return found


def _summed(some: Sums, shares: Tensor, dtype: torch.dtype | None) -> Tensor:
    """[sums, rows]"""
    biases: list[Any] = [one.member.layer.bias for one in some.asked]
    # Products and sums, not a matrix product: that may have fewer digits on a GPU.
    weighted = torch.stack(biases) * shares.unsqueeze(1)
    found = weighted.view(-1, some.each, weighted.shape[1]).sum(1)
    return found if dtype is None else found.to(dtype)
