"""How many networks of a space are connected, and what the smallest and the largest of them cost: exactly.

No genotype is searched for. The argument:

1. *A network's cost is a sum over its modules.* One is built where some choices are made (``conv_3x3`` at
   ``g.cell1.e0``; in a block ``skip1`` is ``yes`` and ``up`` is ``deconv``) and costs the same in all such networks, as
   cells have one width and no choice changes an image side. So a few networks that show each module once tell all.
2. *Cells are independent.* No module waits for choices of two cells, and whether a cell is connected is its own matter:
   the smallest network has the smallest of each cell, and counts multiply.
3. *A block* has few combinations, and each is summed; the choice of a whole network is one too.
4. *The largest DAG cell* has the dearest operation at every edge: all run, as no file has a node that nobody reads.
5. *The smallest DAG cell*: once it is said of every node whether it is dead, idle or running, the edges that enter one
   are chosen without the others; see :func:`_least_of_dag`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from autogan_ray.nets.cost.prices import price_table
from autogan_ray.nets.gan import Shape
from autogan_ray.spaces.blocks import DiscriminatorPart, GeneratorPart, WholePart
from autogan_ray.spaces.dag import INPUT, PLAIN, DagPart, Edge
from autogan_ray.spaces.derivation.cell_labels import Prices
from autogan_ray.spaces.operations import NONE
from autogan_ray.spaces.part import Decision
from autogan_ray.spaces.sizes import CellLayout, generator_layout
from autogan_ray.spaces.space import SearchSpace

Choices = dict[str, str]


@dataclass(frozen=True)
class Extreme:
    """A cost, and the choices (decision -> choice, of one network) that attain it; of several the first found."""

    value: int
    choices: Choices


@dataclass(frozen=True)
class Range:
    """Of one quantity of one network, over all connected genotypes."""

    smallest: Extreme
    largest: Extreme


def cost_range(space: SearchSpace, shape: Shape) -> dict[str, Range]:
    """``params_g``, ``macs_g``, ``params_d``, ``macs_d``, counted as ``genotype_cost`` does, for one image.

    Networks are taken without classes. Raises SpaceError or ConfigError where the image size or the length of z does
    not fit the space.
    """
    prices = price_table(space, shape)
    g, d = _networks(space, shape.image_size)
    return g.ranges(prices) | d.ranges(prices)


def connected_size(space: SearchSpace, image_size: int) -> int:
    """Of all choice combinations, G times D, the number of those without a dead end. Raises SpaceError."""
    return math.prod(network.connected() for network in _networks(space, image_size))


def _networks(space: SearchSpace, image_size: int) -> tuple[_Network, _Network]:
    part = space.discriminator
    layouts = () if isinstance(part, WholePart) else part.layout_d(image_size)
    return (
        _Network("g", space.generator, generator_layout(image_size), space.decisions_g(image_size)),
        _Network("d", part, layouts, space.decisions_d(image_size)),
    )


@dataclass(frozen=True)
class _Network:
    """One network of a space at an image size; ``name`` is ``g`` or ``d``."""

    name: str
    part: GeneratorPart | DiscriminatorPart
    layouts: Sequence[CellLayout]
    decisions: Sequence[Decision]

    def connected(self) -> int:
        if isinstance(self.part, DagPart):
            return math.prod(_connected_in_dag(self.part, layout) for layout in self.layouts if not layout.fixed)
        return math.prod(len(decision.choices) for decision in self.decisions)

    def ranges(self, prices: Mapping[str, Prices]) -> dict[str, Range]:
        return {
            key: Range(*(self._end(prices[key], largest, idle=quantity == "macs") for largest in (False, True)))
            for quantity in ("params", "macs")
            for key in (f"{quantity}_{self.name}",)
        }

    def _end(self, prices: Prices, largest: bool, idle: bool) -> Extreme:
        if not isinstance(self.part, DagPart):
            groups = itertools.groupby(self.decisions, key=lambda decision: decision.name.rsplit(".", 1)[0])
            cells = [_end_of_block(list(group), prices, largest) for _, group in groups]
        elif largest:
            cells = list(_ends(self.decisions, prices, largest).values())
        else:
            least = _ends(self.decisions, prices, largest)
            cells = [_least_of_dag(self.part, self.name, one, least, idle) for one in self.layouts if not one.fixed]
        found = _total(Extreme(prices.get(frozenset(), 0), {}), *cells)
        return Extreme(found.value, {decision.name: found.choices[decision.name] for decision in self.decisions})


def _total(*parts: Extreme) -> Extreme:
    choices = {name: choice for part in parts for name, choice in part.choices.items()}
    return Extreme(sum(part.value for part in parts), choices)


def _end_of_block(decisions: Sequence[Decision], prices: Prices, largest: bool) -> Extreme:
    """By all combinations of the decisions, which are those of one cell."""
    names = [decision.name for decision in decisions]
    own = [(when, price) for when, price in prices.items() if any(name in names for name, _ in when)]
    found = []
    for pick in itertools.product(*(decision.choices for decision in decisions)):
        pairs = frozenset(zip(names, pick, strict=True))
        found.append((sum(price for when, price in own if when <= pairs), pick))
    value, pick = (max if largest else min)(found, key=lambda pair: pair[0])
    return Extreme(value, dict(zip(names, pick, strict=True)))


def _ends(decisions: Sequence[Decision], prices: Prices, largest: bool) -> dict[str, Extreme]:
    """decision -> its cheapest or dearest operation, ``none`` apart."""
    found = {}
    for decision in decisions:
        name = decision.name
        priced = [Extreme(prices[frozenset({(name, c)})], {name: c}) for c in decision.choices if c != NONE]
        found[name] = (max if largest else min)(priced, key=lambda one: one.value)
    return found


class _State(Enum):
    """Of a node in a genotype."""

    DEAD = "no edge enters it"
    IDLE = "edges enter it, and as nobody reads it they do not run"
    RUNNING = "edges enter it and run"


def _least_of_dag(part: DagPart, network: str, layout: CellLayout, least: Mapping[str, Extreme], idle: bool) -> Extreme:
    """The least cost of one cell over its connected genotypes.

    States of the nodes *fit* a genotype if its kept edges join nodes that are not dead, at least one enters each of
    these, those into running nodes leave running nodes, needed nodes are not dead, and what the cell gives away is not
    idle. The true states fit; under any others that fit, the edges into running nodes are those that run or more. So
    the least price of edges into running nodes, over all pairs that fit, is the least cost; and for given states each
    node takes, on its own, the edges that cannot be ``none``, or the cheapest of the others. Nodes come in topological
    order, and a branch ends where it costs as much as the best so far.

    Args:
        least: decision -> its cheapest operation.
        idle: False for parameters, which edges have whether they run or not: then no node is idle.
    """
    cell, edges, lead = part.cell, part.edges(layout), f"{network}.cell{layout.number}."
    order = cell.order()
    priced = {edge.name: Extreme(0, {}) if edge.choices == PLAIN else least[lead + edge.name] for edge in edges}
    silent = {edge.name for edge in edges if edge.choices != PLAIN and NONE in part.choices[edge.choices]}
    skips = [least[lead + d.name] for d in part.decided(layout) if d.name not in priced]
    best: Extreme | None = None

    def visit(states: dict[str, _State], so_far: Extreme) -> None:
        nonlocal best
        if best is not None and so_far.value >= best.value:
            return
        if len(states) > len(cell.nodes):  # the input is one of them
            best = so_far
            return
        node = order[len(states) - 1]
        cannot = {_State.DEAD} if node in cell.needed else set()
        if not idle or node in (cell.output, cell.skip_out):
            cannot.add(_State.IDLE)
        for state in (one for one in _State if one not in cannot):
            taken = _taken([edge for edge in edges if edge.target == node], state, states, priced, silent)
            if taken is not None:
                added = _total(*(priced[name] for name in taken))
                price = added.value if state is _State.RUNNING else 0
                visit(states | {node: state}, _total(so_far, Extreme(price, added.choices)))

    visit({INPUT: _State.RUNNING}, _total(Extreme(0, {lead + name: NONE for name in silent}), *skips))
    assert best is not None, "a file in which no genotype is connected is refused"
    return best


def _taken(
    entering: Sequence[Edge],
    state: _State,
    states: Mapping[str, _State],
    priced: Mapping[str, Extreme],
    silent: Collection[str],
) -> list[str] | None:
    """The cheapest edges that give a node this state; None where none do. ``silent``: edges that can be ``none``."""
    able = {
        edge.name: _State.DEAD not in (state, states[edge.source])
        and (state, states[edge.source]) != (_State.RUNNING, _State.IDLE)
        for edge in entering
    }
    forced = [name for name in able if name not in silent]
    if not all(able[name] for name in forced):
        return None
    if forced or state is _State.DEAD:
        return forced
    free = [name for name in able if able[name]]
    return [min(free, key=lambda name: priced[name].value)] if free else None


def _connected_in_dag(part: DagPart, layout: CellLayout) -> int:
    """Number of connected genotypes of one cell: a product over the nodes, summed over the sets of dead nodes.

    Connected: no kept edge leaves a dead node (one that no kept edge enters), and no needed node is dead.
    """
    edges = part.edges(layout)
    listed = {edge.name: (PLAIN,) if edge.choices == PLAIN else part.choices[edge.choices] for edge in edges}
    free = [node for node in part.cell.nodes if node not in part.cell.needed]
    total = 0
    for dead in itertools.chain(*(itertools.combinations(free, count) for count in range(len(free) + 1))):
        ways = 1
        for node in part.cell.nodes:
            entering = [edge for edge in edges if edge.target == node]
            silent = math.prod(NONE in listed[edge.name] for edge in entering)
            some = math.prod(
                NONE in listed[edge.name] if edge.source in dead else len(listed[edge.name]) for edge in entering
            )
            ways *= silent if node in dead else some - silent
        total += ways
    return total * math.prod(len(d.choices) for d in part.decided(layout) if d.name not in listed)  # skips
