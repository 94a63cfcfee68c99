"""What batch norms do whose choices' shares fold into them, but for the norm itself: for a whole network together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from autogan_ray.nets.fast.branch import Affine, Branch
from autogan_ray.nets.fast.merged import Shares


class Folded(NamedTuple):
    """A batch norm, and whose share goes into its weights."""

    cell: int
    arrow: str
    number: int
    layer: nn.BatchNorm2d


@dataclass(frozen=True, eq=False)
class Affines:
    """Of the choices of some cells. Args: stacks: those of one length each, with weights or without."""

    stacks: tuple[tuple[Folded, ...], ...]

    @classmethod
    def of(cls, cells: Sequence[Sequence[tuple[str, int, Branch]]]) -> Affines:
        """Args: cells: of each the choices that are computed by themselves: (edge, number, branch)."""
        alike: dict[tuple[int, bool], list[Folded]] = {}
        for cell, some in enumerate(cells):
            for arrow, number, branch in some:
                layer = branch.layers[branch.fold] if branch.layers and branch.fold >= 0 else None
                if isinstance(layer, nn.BatchNorm2d):
                    alike.setdefault((layer.num_features, layer.affine), []).append(Folded(cell, arrow, number, layer))
        return cls(tuple(tuple(some) for some in alike.values()))

    def weighted(self, shares: Sequence[Shares]) -> list[Mapping[tuple[str, int], Affine]]:
        """Of each cell: (edge, number of the choice) -> weight and bias. The norms count a batch: they are to run."""
        found: list[dict[tuple[str, int], Affine]] = [{} for _ in shares]
        self._count_a_batch()
        for some in self.stacks:
            factors = torch.stack([shares[one.cell][one.arrow][one.number] for one in some]).unsqueeze(1)
            biases: Sequence[Tensor | None] = [None] * len(some)
            if some[0].layer.affine:
                weights, biases = _stacked(some, "weight") * factors, (_stacked(some, "bias") * factors).unbind()
            else:
                # Laid out in full: torch's channels-last kernel would read an expanded vector past its end.
                weights = factors.expand(-1, some[0].layer.num_features).contiguous()
            for one, weight, bias in zip(some, weights.unbind(), biases, strict=True):
                found[one.cell][one.arrow, one.number] = weight, bias
        return list(found)

    def _count_a_batch(self) -> None:
        layers = [one.layer for some in self.stacks for one in some]
        counters = [layer.num_batches_tracked for layer in layers if layer.training]
        known = [counter for counter in counters if counter is not None]
        if known:
            torch._foreach_add_(known, 1)


def _stacked(some: Sequence[Folded], name: str) -> Tensor:
    parts: list[Any] = [getattr(one.layer, name) for one in some]
    return torch.stack(parts)
