"""What a selection makes of a network's cells, decided and weighted for all of them before the first runs."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from autogan_ray.nets.dag_cell import DagCell, PlanKey, Ready
from autogan_ray.nets.fast.blend import Blend
from autogan_ray.nets.place import Selection


class Mixtures:
    """Of one network; keeps how they are made, which is the same each time until choices are dropped."""

    def __init__(self) -> None:
        self._blends: dict[tuple[PlanKey, ...], Blend] = {}
        self._decided: dict[int, list[Ready | None]] = {}

    def of(self, cells: Iterable[nn.Module], selection: Selection) -> list[Ready | None]:
        """For the forward pass of each cell; None for one of another kind."""
        every = list(cells)
        if not selection and len(every) in self._decided:
            return self._decided[len(every)]
        dags = [cell for cell in every if isinstance(cell, DagCell)]
        prepared = [cell.prepared(selection) for cell in dags]
        key = tuple(one.key for one in prepared)
        if key not in self._blends:
            self._blends[key] = Blend.of([one.plan for one in prepared])
        mixtures = self._blends[key].weighted([one.shares for one in prepared])
        ready = iter([Ready(one, mixture) for one, mixture in zip(prepared, mixtures, strict=True)])
        found = [next(ready) if isinstance(cell, DagCell) else None for cell in every]
        if not selection:  # a derived network: it is the same each time, for as many cells as run
            self._decided[len(every)] = found
        return found
