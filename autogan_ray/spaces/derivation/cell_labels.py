"""All ways to fill each cell of a network, as frontiers of labels: worth, parameters, MACs, how many ``skip``.

In a DAG cell an edge into a node that nobody reads does not run, so MACs depend on more than the edge. Once it is said
of every node whether it is dead, idle or running, the edges that enter a node are chosen without the others. Two paths
to the output, with conv = 5 MACs and none = skip = 0:

           e0        e1            e0  none .4   conv .6
        in ---> a ---> out         e1  none .7   conv .3
        in -----------> out        e2  skip .2   conv .8
               e2

    a is      e0, e1             with e2 = skip       with e2 = conv
    dead      none, none         .056 at  0 MACs      .224 at  5 MACs
    idle      conv, none         .084 at  0 MACs      .336 at  5 MACs     (e0 does not run: nobody reads a)
    running   conv, conv         .036 at 10 MACs      .144 at 15 MACs

The frontier of the cell is .336 at 5 MACs and .084 at 0 MACs. The running state also allows conv, none, as if e0 ran
though nobody reads a: .336 at 10 MACs, which the idle state beats. In general, states *fit* a genotype if its
kept edges join nodes that are not dead, at least one edge enters each of these, edges into running nodes leave
running nodes, needed nodes are not dead, and what the cell gives away is not idle. The true states fit; under any other
states that fit, the edges into running nodes are those that run, or more. So the cheapest that fit are the true ones.

Nodes come in topological order, and the states of nodes whose readers have all been seen are forgotten, so that there
are few at any time.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from autogan_ray.spaces.dag import INPUT, PLAIN, DagPart, Edge
from autogan_ray.spaces.derivation.frontier import EMPTY, Label, frontier, joined
from autogan_ray.spaces.part import Decision
from autogan_ray.spaces.sizes import CellLayout
from autogan_ray.spaces.space import SearchSpace

When = frozenset[tuple[str, str]]
"""(decision, choice) pairs that must all hold for a module to be there; empty: it always is."""

Prices = Mapping[When, int]
"""What the modules under each condition cost together; what is missing costs nothing."""

Rows = Mapping[str, Mapping[str, float]]
"""decision -> choice -> probability, of the choices that may be taken."""

LEAST = math.log(5e-324)
"""Log-probability of what has probability 0, or none at all (NaN): poor, and still comparable."""

FREE: Prices = {}


@dataclass(frozen=True)
class CellRules:
    """What decides the labels of a network's cells.

    Args:
        rows: the choices that may be taken, with their probabilities, for every decision of the network.
        params, macs: prices of what is limited; empty where it is not, and then it counts as 0.
        most_skips: edges ``skip`` in each cell, at most; None: any number.
    """

    rows: Rows
    params: Prices
    macs: Prices
    most_skips: int | None = None

    def label(self, decision: Decision, choice: str, runs: bool = True) -> Label:
        """Returns the label of a single choice; ``runs``: whether its edge runs, so that its MACs count."""
        pair = (decision.name, choice)
        key = frozenset({pair})
        return Label(
            log_of(self.rows[decision.name][choice]),
            self.params.get(key, 0),
            self.macs.get(key, 0) if runs else 0,
            int(choice == decision.identity and self.most_skips is not None),
            pair,
        )


def log_of(probability: float) -> float:
    """Returns a finite log-probability."""
    return math.log(probability) if probability > 0 else LEAST


def labels_of_cells(space: SearchSpace, network: str, image_size: int, rules: CellRules) -> list[list[Label]]:
    """Returns the frontier of each cell in which something is decided; it is empty where a cell cannot be filled."""
    part = space.networks[network]
    if isinstance(part, DagPart):
        layouts = part.layout(image_size)
        return [_DagCell(part, network, layout, rules).labels() for layout in layouts if not layout.fixed]
    groups = itertools.groupby(
        part.decisions(network, image_size), key=lambda decision: decision.name.rsplit(".", 1)[0]
    )
    return [frontier(_combinations(list(group), rules)) for _, group in groups]


def _combinations(decisions: Sequence[Decision], rules: CellRules) -> Iterator[Label]:
    """Yields all combinations of the choices of a block, in which a module may wait for two decisions."""
    names = [decision.name for decision in decisions]
    own = [
        [(when, price) for when, price in prices.items() if any(name in names for name, _ in when)]
        for prices in (rules.params, rules.macs)
    ]
    for pick in itertools.product(*(rules.rows[name] for name in names)):
        pairs = tuple(zip(names, pick, strict=True))
        held = frozenset(pairs)
        params, macs = (sum(price for when, price in prices if when <= held) for prices in own)
        yield Label(sum(log_of(rules.rows[name][choice]) for name, choice in pairs), params, macs, 0, pairs)


class _State(Enum):
    """What becomes of a node in a genotype."""

    DEAD = "no edge enters it"
    IDLE = "edges enter it, and as nobody reads it they do not run"
    RUNNING = "edges enter it and run"


States = tuple[tuple[str, _State], ...]


class _DagCell:
    """The labels of one cell of a :class:`~autogan_ray.spaces.dag.DagPart`."""

    def __init__(self, part: DagPart, network: str, layout: CellLayout, rules: CellRules) -> None:
        self._cell, self._edges = part.cell, part.edges(layout)
        lead = layout.lead(network)
        self._rules = rules
        self._decisions = {d.name: replace(d, name=lead + d.name) for d in part.decided(layout)}
        edges = {edge.name for edge in self._edges}
        self._skips = [decision for name, decision in self._decisions.items() if name not in edges]

    def labels(self) -> list[Label]:
        rules, order = self._rules, self._cell.order
        start = [EMPTY]
        for skip in self._skips:  # searched skips between cells always run
            start = joined(start, [rules.label(skip, choice) for choice in rules.rows[skip.name]], rules.most_skips)
        table: dict[States, list[Label]] = {((INPUT, _State.RUNNING),): start}
        for index, node in enumerate(order):
            later = {edge.source for edge in self._edges if edge.target in order[index + 1 :]}
            grown: dict[States, list[Label]] = {}
            for states, labels in table.items():
                for state in self._possible(node):
                    entering = self._entering(node, state, dict(states))
                    key = tuple(pair for pair in (*states, (node, state)) if pair[0] in later)
                    grown.setdefault(key, []).extend(joined(labels, entering, rules.most_skips))
            table = {key: frontier(labels) for key, labels in grown.items()}
        return frontier(itertools.chain(*table.values()))

    def _possible(self, node: str) -> list[_State]:
        """Returns the states of a node: a needed node is never dead, and what the cell gives away is never idle.

        Parameters are there whether an edge runs or not: idle matters only where MACs do.
        """
        states = [_State.RUNNING]
        if node not in self._cell.needed:
            states.append(_State.DEAD)
        if self._rules.macs and node not in (self._cell.output, self._cell.skip_out):
            states.append(_State.IDLE)
        return states

    def _entering(self, node: str, state: _State, states: Mapping[str, _State]) -> list[Label]:
        """Returns the frontier of all ways in which the edges that enter a node give it this state."""
        empty, kept = [EMPTY], list[Label]()
        for edge in (edge for edge in self._edges if edge.target == node):
            able = state is not _State.DEAD and states[edge.source] is not _State.DEAD
            able = able and not (state is _State.RUNNING and states[edge.source] is _State.IDLE)
            silent, busy = self._ways(edge, runs=state is _State.RUNNING)
            kept = joined(kept, silent + (busy if able else []), self._rules.most_skips)
            kept = frontier(kept + joined(empty, busy if able else [], self._rules.most_skips))
            empty = joined(empty, silent)
        return empty if state is _State.DEAD else kept

    def _ways(self, edge: Edge, runs: bool) -> tuple[list[Label], list[Label]]:
        """Returns (labels of "no connection", labels of operations) of an edge."""
        if edge.choices == PLAIN:
            return [], [EMPTY]
        decision = self._decisions[edge.name]
        row, cut = self._rules.rows[decision.name], decision.no_connection
        silent = [self._rules.label(decision, choice) for choice in row if choice == cut]
        return silent, [self._rules.label(decision, choice, runs) for choice in row if choice != cut]
