"""All that shares multiply in a network, computed together before its first cell runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from autogan_ray.nets.fast.affines import Affines
from autogan_ray.nets.fast.biases import Biases
from autogan_ray.nets.fast.bundles import Plan
from autogan_ray.nets.fast.kernels import Kernels
from autogan_ray.nets.fast.merged import Mixture, Shares


@dataclass(frozen=True, eq=False)  # compared by identity, as a plan is
class Blend:
    """Of some cells. Args: counts: of each, how many groups of convolutions it has."""

    counts: tuple[int, ...]
    kernels: Kernels
    biases: Biases
    affines: Affines

    @classmethod
    def of(cls, plans: Sequence[Plan]) -> Blend:
        """Args: plans: of each cell."""
        groups = [plan.groups for plan in plans]
        counts = tuple(len(some) for some in groups)
        return cls(counts, Kernels.of(groups), Biases.of(groups), Affines.of([plan.alone for plan in plans]))

    def weighted(self, shares: Sequence[Shares]) -> list[Mixture]:
        """The mixture of each cell. Args: shares: of each cell's edges."""
        device = next((one.device.type for some in shares for row in some.values() for one in row), "cpu")
        # Rounded to half precision where convolutions will be, but once, and after all sums.
        half = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        with torch.autocast(device, enabled=False):
            kernels, biases = self.kernels.weighted(shares, half), self.biases.weighted(shares, half)
            affines = self.affines.weighted(shares)
        mixtures, start = [], 0
        for some, count, norms in zip(shares, self.counts, affines, strict=True):
            stop = start + count
            mixtures.append(Mixture(some, kernels[start:stop], biases[start:stop], norms))
            start = stop
        return mixtures
