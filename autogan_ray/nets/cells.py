"""The cells: a DAG whose edges are places, and AutoGAN's residual block whose parts are places.

Each cell serves the supernet and the derived network alike; only its :class:`~autogan_ray.nets.mixed.Places` differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from autogan_ray.nets.bundles import Arrow, Plan
from autogan_ray.nets.drawn import left_of, only_none_left
from autogan_ray.nets.gate import gated
from autogan_ray.nets.mixed import One, Place, Places, Selection, shares_of
from autogan_ray.nets.ops import OpSpec, Repeated, batch_norm, build_op, conv, upsample
from autogan_ray.nets.tap import Tap, Taps
from autogan_ray.nets.total import Total
from autogan_ray.operations import NONE
from autogan_ray.parts import INPUT, PLAIN, DagPart, Edge
from autogan_ray.sizes import CellLayout


class DagCell(nn.Module):
    """One cell of a :class:`~autogan_ray.parts.DagPart`.

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
        self._order = cell.order()
        self._edges = part.edges(layout)
        self._levels = part.levels(layout)
        self._mode = cell.skip_modes[(layout.number - 1) % len(cell.skip_modes)]
        # Nodes that the forward pass gives away whatever the choices are.
        self._outputs = {cell.output, cell.skip_out or cell.output}
        self._plans: dict[tuple[tuple[str, tuple[int, ...]], ...], Plan] = {}
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

    def forward(self, x: Tensor, skips: Sequence[Tensor], selection: Selection) -> tuple[Tensor, Tensor]:
        """(output, skip output), both [B, c_out, H, W] at the cell's output size."""
        running = self._running(selection)
        mixed = self._mixed(running, selection)
        plan = self._plan(mixed, selection)
        mixture = plan.mixture({e.name: shares_of(selection, self._place(e).decision) for e in mixed})
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

    def _plan(self, mixed: Sequence[Edge], selection: Selection) -> Plan:
        """How they are: the same each time, until choices are dropped or decisions fixed."""
        left = [tuple(left_of(selection, self._place(edge).decision)) for edge in mixed]
        key = tuple((edge.name, some) for edge, some in zip(mixed, left, strict=True))
        if key not in self._plans:
            arrows = [
                Arrow(edge.name, edge.source, edge.target, self._place(edge).branches(some))
                for edge, some in zip(mixed, left, strict=True)
            ]
            self._plans[key] = Plan.of(arrows, (INPUT, *self._order))
        return self._plans[key]

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


def _repeated(name: str, times: int, spec: OpSpec) -> nn.Module:
    return Repeated(build_op(name, spec), times)


def _is_none(place: Place, selection: Selection) -> bool:
    if place.chosen is not None:
        return place.chosen == NONE
    weights = selection[place.decision.name]
    if isinstance(weights, One):
        return place.decision.choices[weights.index] == NONE
    return only_none_left(selection, place.decision)


def _resize(x: Tensor, side: int, mode: str) -> Tensor:
    return functional.interpolate(x, size=(side, side), mode=mode, align_corners=None if mode == "nearest" else False)


def _norm(name: str, channels: int) -> nn.Module:
    if name == "batch":
        return batch_norm(channels)
    return nn.InstanceNorm2d(channels) if name == "instance" else nn.Identity()


class _Up(nn.Module):
    """Doubles the side ``times`` times: interpolation in one go, or a chain of 2x2 transposed convolutions."""

    def __init__(self, name: str, channels: int, times: int = 1) -> None:
        super().__init__()
        if name == "deconv":
            layers = [nn.ConvTranspose2d(channels, channels, 2, stride=2) for _ in range(times)]
            self.layers: nn.Module = nn.Sequential(*layers)
        elif times == 1:
            self.layers = upsample(name)
        else:
            corners = None if name == "nearest" else False
            self.layers = nn.Upsample(scale_factor=2**times, mode=name, align_corners=corners)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class _Unit(nn.Module):
    """One convolution with its normalisation and ReLU before it (pre) or after it (post), up-sampling or not."""

    def __init__(self, order: str, channels: int, lead: str, places: Places, up: bool) -> None:
        super().__init__()
        self._pre = order == "pre"
        self.norm = places.place(f"{lead}.norm", lambda name: _norm(name, channels))
        self.up = places.place(f"{lead}.up", lambda name: _Up(name, channels)) if up else None
        self.conv = conv(channels, channels, 3, spec_norm=False)

    def forward(self, x: Tensor, selection: Selection) -> Tensor:
        if self._pre:
            x = torch.relu(self.norm(x, selection))
        if self.up is not None:
            x = self.up(x, selection)
        x = self.conv(x)
        return x if self._pre else torch.relu(self.norm(x, selection))


class _Skip(nn.Module):
    """A skip from an earlier cell: resized in this cell's manner, then a 1x1 convolution."""

    def __init__(self, channels: int, lead: str, places: Places, times: int) -> None:
        super().__init__()
        self.up = places.place(f"{lead}.up", lambda name: _Up(name, channels, times))
        self.conv = conv(channels, channels, 1, spec_norm=False)

    def forward(self, x: Tensor, selection: Selection) -> Tensor:
        return self.conv(self.up(x, selection))


class BlockCell(nn.Module):
    """AutoGAN's generator cell (Gong et al., ICCV 2019): h = unit1(x) + skips; out = unit2(h) + shortcut(x).

    The sums are out of place, and the skip output is h after its additions, as in the published code.
    """

    def __init__(self, lead: str, number: int, channels: int, places: Places) -> None:
        super().__init__()

        def unit(up: bool) -> Place:
            return places.place(f"{lead}.conv", lambda order: _Unit(order, channels, lead, places, up))

        def maybe(name: str, times: int) -> Place:
            return places.place(
                f"{lead}.{name}", lambda yes: _Skip(channels, lead, places, times) if yes == "yes" else _Nothing()
            )

        self.unit1, self.unit2 = unit(up=True), unit(up=False)
        self.shortcut = maybe("shortcut", 1)
        # An earlier cell's skip output is as large as its output: cell j of k lags by k - j doublings.
        self.skips = nn.ModuleList(maybe(f"skip{earlier}", number - earlier) for earlier in range(1, number))

    def forward(self, x: Tensor, skips: Sequence[Tensor], selection: Selection) -> tuple[Tensor, Tensor]:
        """(output, skip output), both [B, C, 2H, 2W]."""
        h = _sum(_call(self.unit1, x, selection))
        for skip, place in zip(skips, self.skips, strict=True):
            h = _sum(h, _call(place, skip, selection))
        return _sum(_call(self.unit2, h, selection), _call(self.shortcut, x, selection)), h


class _Nothing(nn.Module):
    """The choice ``no``: adds nothing."""


def _sum(*terms: Tensor | None) -> Tensor:
    present = [term for term in terms if term is not None]
    return sum(present[1:], present[0])


def _call(place: nn.Module, x: Tensor, selection: Selection) -> Tensor | None:
    """A place whose modules hold places themselves; None where nothing is added."""
    assert isinstance(place, Place)
    if place.chosen is not None:
        module = place.choices[place.chosen]
        return None if isinstance(module, _Nothing) else module(x, selection)
    weights, names = selection[place.decision.name], place.decision.choices
    if isinstance(weights, One):
        module = place.choices[names[weights.index]]
        if isinstance(module, _Nothing):
            return None
        output = module(x, selection)
        return output if weights.scale is None else gated(output, weights.scale)
    shares, terms = weights.unbind(), []
    for index in left_of(selection, place.decision):
        module = place.choices[names[index]]
        if not isinstance(module, _Nothing):
            terms.append(shares[index] * module(x, selection))
    return _sum(*terms) if terms else None


class FixedBlock(nn.Module):
    """One residual block of AutoGAN's discriminator, spectral norm on every convolution.

    Args:
        first: the first block reads the image: no ReLU before its first convolution, and its shortcut pools first.
        down: halve the image side by a 2x2 average pool.
    """

    def __init__(self, c_in: int, c_out: int, down: bool, first: bool = False) -> None:
        super().__init__()
        self._down, self._first = down, first
        self.conv1 = conv(c_in, c_out, 3, spec_norm=True)
        self.conv2 = conv(c_out, c_out, 3, spec_norm=True)
        # The last two blocks keep size and channels: their shortcut is the identity.
        self.shortcut = conv(c_in, c_out, 1, spec_norm=True) if down or c_in != c_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        main = self.conv2(torch.relu(self.conv1(x if self._first else torch.relu(x))))
        if not self._down:
            return main + self.shortcut(x)
        if self._first:
            return functional.avg_pool2d(main, 2) + self.shortcut(functional.avg_pool2d(x, 2))
        return functional.avg_pool2d(main, 2) + functional.avg_pool2d(self.shortcut(x), 2)
