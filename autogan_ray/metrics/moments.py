"""The covariance of features that come batch by batch, seen from a real set: a Frechet distance when the last is in.

The costly part of the distance is tr((S_f S_r)^(1/2)) = |X R|_* / sqrt(N - 1) (nuclear norm), X the N centred fake
features and R R^T = S_r. R is known before the first fake is, so each batch is taken through R on its arrival, beside
an extraction that costs hundreds of times more; at the end only eigenvalues of one symmetric matrix are left.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from autogan_ray.metrics.scores import Statistics, between, root_sum


class Moments:
    """Collects fake features; all sums in float64, on the device of ``root``.

    Args:
        root: of the real covariance, from :func:`~autogan_ray.metrics.scores.covariance_root`.

    Each batch is centred on its own mean and one more row stands for the step from the mean so far (Chan, Golub and
    LeVeque 1979), so no large squares are subtracted from each other however far the fakes are from the real images.
    """

    def __init__(self, root: Tensor) -> None:
        self._root = root
        self.count = 0
        self._mean = root.new_zeros(len(root))
        self._scatter = root.new_zeros(())
        self._rows: list[Tensor] = []
        self._held = 0
        self._gram: Tensor | None = None

    def add(self, features: Tensor) -> None:
        """Args: features: floats [B, D], on the root's device."""
        x = features.to(self._root.dtype)
        mean = x.mean(dim=0)
        step = (mean - self._mean) * (self.count * len(x) / (self.count + len(x))) ** 0.5
        x = torch.cat([x - mean, step[None]])
        self._scatter = self._scatter + x.square().sum()
        self.count += len(features)
        self._mean = self._mean + (mean - self._mean) * (len(features) / self.count)
        self._keep(x @ self._root)

    def _keep(self, rows: Tensor) -> None:
        """Few rows are kept as they are, as then their own products make the smaller matrix."""
        if self._gram is not None:
            self._gram.addmm_(rows.T, rows)
            return
        self._rows.append(rows)
        self._held += len(rows)
        if self._held > self._root.shape[1] // 2:
            held = torch.cat(self._rows)
            self._gram, self._rows = held.T @ held, []

    @property
    def trace(self) -> float:
        """Of the covariance. At least 2 features must have come."""
        return float(self._scatter) / (self.count - 1)

    def root_trace(self) -> float:
        """tr((S_f S_r)^(1/2)); the eigenvalues are found on the CPU, where float64 is cheap on every machine."""
        if self._gram is not None:
            gram = self._gram
        else:
            held = torch.cat(self._rows)
            gram = held @ held.T
        return root_sum(gram.cpu()) / (self.count - 1) ** 0.5

    def frechet_distance(self, mean: np.ndarray, real: Statistics) -> float:
        """To the real set whose root this was made with.

        Args: mean: [D] of the same features, in the precision of the real set's.
        """
        return between(mean - real.mean, self.trace, float(np.trace(real.covariance)), self.root_trace())
