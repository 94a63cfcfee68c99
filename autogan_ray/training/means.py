"""Means over the steps between two evaluations, of what a step leaves on the device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor


class RunningMeans:
    """Running means of 0-dim tensors by name, kept on the device so that no step waits for it."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, **values: Tensor) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def mean(self, name: str) -> float | None:
        """Returns None where nothing was added under the name."""
        return float(self._sums[name]) / self._counts[name] if name in self._sums else None

    def state_dict(self) -> dict[str, Any]:
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])


def finite(value: float | None) -> float | None:
    """Returns None for a value that is not finite: JSON has no NaN, and a diverged search may have nothing else."""
    return value if value is not None and math.isfinite(value) else None
