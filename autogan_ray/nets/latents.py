"""What a generator is fed: noise, and behind it a one-hot class where the network is class-conditional."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Latents:
    """Of one generator.

    Args:
        dim: length of the noise.
        class_shares: how often each class is drawn, as in the data; empty for a generator without classes.
    """

    dim: int
    class_shares: Sequence[float] = ()

    @property
    def classes(self) -> int:
        return len(self.class_shares)

    def draw(self, count: int, rng: torch.Generator, label: int | None = None) -> Tensor:
        """z float32 [count, dim + classes], on the CPU, so that a run does not depend on the device.

        Args:
            label: this class for all, 0 .. classes - 1; None draws classes by their shares.
        """
        noise = torch.randn(count, self.dim, generator=rng)
        if not self.classes:
            return noise
        if label is None:
            shares = torch.tensor(list(self.class_shares), dtype=torch.float64)
            labels = torch.multinomial(shares, count, replacement=True, generator=rng)
        else:
            labels = torch.full((count,), label)
        return torch.cat([noise, self.one_hot(labels)], dim=1)

    def one_hot(self, labels: Tensor) -> Tensor:
        """float32 [B, classes] of int64 [B]."""
        return functional.one_hot(labels, self.classes).float()

    def classes_of(self, z: Tensor) -> Tensor | None:
        """The one-hot part [B, classes] of a drawn z; None without classes."""
        return z[:, self.dim :] if self.classes else None
