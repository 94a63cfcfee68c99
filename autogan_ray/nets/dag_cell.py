"""The cell that is a DAG whose edges are places.

It serves the supernet and the derived network alike; only its :class:`~autogan_ray.nets.place.Places` differ.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from autogan_ray.nets.fast.bundles import Arrow, Plan
from autogan_ray.nets.fast.merged import Mixture, Shares
from autogan_ray.nets.fast.tap import Tap, Taps
from autogan_ray.nets.fast.total import Total
from autogan_ray.nets.ops import OpSpec, Repeated, build_op, conv
from autogan_ray.nets.place import One, Place, Places, Selection, shares_of
from autogan_ray.nets.selection import left_of, only_none_left
from autogan_ray.spaces.dag import INPUT, PLAIN, DagPart, Edge
from autogan_ray.spaces.sizes import CellLayout


class DagCell(nn.Module):
    """One cell of a :class:`~autogan_ray.spaces.dag.DagPart`.

    Args:
        network: ``g`` or ``d``: the first part of the names of the cell's decisions.
        layout: which cell it is, as the first may have other edges, and what it does to the image side.
        c_in, c_out: channels of the input and of every node.
        norm: of the operations: ``none``, ``batch`` or ``spectral``.
    """

    def __init__(
        self, part: DagPart, network: str, layout: CellLayout, c_in: int, c_out: int, norm: str, places: Places
    ) -> None:
        super().__init__()
        cell, lead = part.cell, f"{network}.cell{layout.number}"
        self._cell, self._c_out = cell, c_out
        self._order = cell.order
        self._edges = part.edges(layout)
        self._levels = part.levels(layout)
        self._mode = cell.skip_modes[(layout.number - 1) % len(cell.skip_modes)]
        # Nodes that the forward pass gives away whatever the choices are.
        self._outputs = {cell.output, cell.skip_out or cell.output}
        self._plans: dict[PlanKey, Plan] = {}
        self.edges = nn.ModuleDict()
        for edge in self._edges:
            spec = OpSpec(c_in if edge.source == INPUT else c_out, c_out, norm, edge.activation, places.derived)
            if edge.choices != PLAIN:
                self.edges[edge.name] = places.place(f"{lead}.{edge.name}", partial(build_op, spec=spec))
        # One module a skip: earlier cell k has its output k doublings ahead of this cell's.
        self.skips = nn.ModuleList()
        for earlier in range(1, layout.number) if cell.skip_in is not None else ():
            if cell.skip_choices is None:
                self.skips.append(conv(c_out, c_out, 1, spec_norm=False))
            else:
                build = partial(_repeated, times=layout.number - earlier, spec=OpSpec(c_out, c_out, norm))
                self.skips.append(places.place(f"{lead}.skip{earlier}", build))

    def prepared(self, selection: Selection) -> Prepared:
        """All but the mixture that ``forward`` needs; that is made for all cells of a network together."""
        running = self._running(selection)
        mixed = self._mixed(running, selection)
        shares = {edge.name: shares_of(selection, self._place(edge).decision) for edge in mixed}
        key, plan = self._plan(mixed, selection)
        single = [self._place(e).normed(selection) for e in running if e.choices != PLAIN and e.name not in shares]
        return Prepared(running, key, plan, shares, [*plan.normed, *itertools.chain(*single)])

    def forward(self, x: Tensor, skips: Sequence[Tensor], selection: Selection, ready: Ready) -> tuple[Tensor, Tensor]:
        """(output, skip output), both [B, c_out, H, W] at the cell's output size."""
        (running, _, plan, _, _), mixture = ready
        taps, totals = Taps({INPUT: Tap(x)}), {node: Total() for node in self._order}
        for node in (INPUT, *self._order):
            if node != INPUT:
                if node == self._cell.skip_in:
                    for skip, module in zip(skips, self.skips, strict=True):
                        totals[node].add(self._skipped(skip, module, self._side(x, node), selection))
                total = totals.pop(node).value
                taps[node] = Tap(self._zeros(x, node) if total is None else total)
            plan.steps[node].onto(totals, taps, mixture)
            for edge in running:
                if edge.source == node:
                    self._along(edge, totals[edge.target], taps[node], selection, edge.name in mixture.shares)
            taps.keep(self._outputs | plan.awaited[node])
        return taps[self._cell.output].value, taps[self._cell.skip_out or self._cell.output].value

    def _mixed(self, running: Sequence[Edge], selection: Selection) -> list[Edge]:
        """The edges that are mixtures and can be computed together."""
        return [edge for edge in running if edge.choices != PLAIN and self._place(edge).mixes(selection)]

    def _plan(self, mixed: Sequence[Edge], selection: Selection) -> tuple[PlanKey, Plan]:
        """How they are: the same each time, until choices are dropped or decisions fixed."""
        left = [tuple(left_of(selection, self._place(edge).decision)) for edge in mixed]
        key = tuple((edge.name, some) for edge, some in zip(mixed, left, strict=True))
        if key not in self._plans:
            arrows = [
                Arrow(edge.name, edge.source, edge.target, self._place(edge).branches(some))
                for edge, some in zip(mixed, left, strict=True)
            ]
            self._plans[key] = Plan.of(arrows, (INPUT, *self._order))
        return key, self._plans[key]

    def _running(self, selection: Selection) -> list[Edge]:
        """Edges that carry something to somewhere: not ``none``, and their node is read. The others cost nothing."""
        kept = [e for e in self._edges if e.choices == PLAIN or not _is_none(self._place(e), selection)]
        read = set(self._outputs)
        for node in reversed(self._order):
            if node in read:
                read.update(edge.source for edge in kept if edge.target == node)
        return [edge for edge in kept if edge.target in read]

    def _along(self, edge: Edge, total: Total, tap: Tap, selection: Selection, mixed: bool) -> None:
        """Adds what the edge carries; of one that is ``mixed``, what its plan does not."""
        if edge.choices == PLAIN:
            total.add(tap.value)
        elif mixed:
            self._place(edge).add_auxiliary(total, tap, selection)
        else:
            self._place(edge).onto(total, tap, selection)

    def _place(self, edge: Edge) -> Place:
        place = self.edges[edge.name]
        assert isinstance(place, Place)
        return place

    def _side(self, x: Tensor, node: str) -> int:
        level = self._levels[node]
        return x.shape[-1] * 2**level if level >= 0 else x.shape[-1] // 2**-level

    def _zeros(self, x: Tensor, node: str) -> Tensor:
        side = self._side(x, node)
        return x.new_zeros(x.shape[0], self._c_out, side, side)

    def _skipped(self, skip: Tensor, module: nn.Module, side: int, selection: Selection) -> Tensor:
        """An earlier cell's skip output at this cell's size: as decided, or in the fixed way."""
        if isinstance(module, Place):
            return module(skip, selection)
        return module(_resize(skip, side, self._mode))


PlanKey = tuple[tuple[str, tuple[int, ...]], ...]
"""What a plan follows from: of the edges that are mixtures, by their names, the choices left."""


class Prepared(NamedTuple):
    """What a selection makes of a cell.

    Args:
        running: edges that carry something.
        shares: of those that are mixtures and computed together.
        normed: layers with spectral norm that will be called, each once.
    """

    running: Sequence[Edge]
    key: PlanKey
    plan: Plan
    shares: Shares
    normed: Sequence[nn.Module]


class Ready(NamedTuple):
    """All that a cell needs to run."""

    prepared: Prepared
    mixture: Mixture


def _repeated(name: str, times: int, spec: OpSpec) -> nn.Module:
    return Repeated(build_op(name, spec), times)


def _is_none(place: Place, selection: Selection) -> bool:
    if place.chosen is not None:
        return place.chosen == place.decision.no_connection
    weights = selection[place.decision.name]
    if isinstance(weights, One):
        return place.decision.choices[weights.index] == place.decision.no_connection
    return only_none_left(selection, place.decision)


def _resize(x: Tensor, side: int, mode: str) -> Tensor:
    return functional.interpolate(x, size=(side, side), mode=mode, align_corners=None if mode == "nearest" else False)
