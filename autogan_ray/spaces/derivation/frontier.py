"""The most probable combination of parts within limits on cost, exactly: no torch, no search space, only labels.

A *label* is one way to fill a part of a network: what it is worth (a sum of log-probabilities), what it costs, what it
picks. A label that another one of the same part beats in worth and equals or beats in every cost can never be needed,
so a part is a *frontier* of labels. Frontiers of parts are joined one after the other, which is exact for any number
of limits; two bounds keep them short:

* what cannot be completed within a limit by the cheapest of the other parts is dropped;
* with prices on the costs (a Lagrangian relaxation of the limits) the best worth that any completion can have is known
  from above, and what cannot beat the best network met so far is dropped. Everett, Operations Research 1963.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

Costs = tuple[float, float]
"""Parameters and multiply-accumulates."""

HALVINGS = 40
"""Of the prices' common scale, for each of their mixtures: bounds need no more."""

ROUNDING = 1e-12
"""Of sums of log-probabilities in different orders."""


class Label(NamedTuple):
    """``picks``: a binary tree whose leaves are (decision, choice) pairs, so that joining two labels copies nothing."""

    worth: float
    params: int
    macs: int
    skips: int
    picks: Any

    def choices(self) -> dict[str, str]:
        """decision -> choice."""
        found, todo = {}, [self.picks]
        while todo:
            node = todo.pop()
            if node and isinstance(node[0], str):
                found[node[0]] = node[1]
            else:
                todo.extend(node)
        return found


EMPTY = Label(0.0, 0, 0, 0, ())


def joined(one: Sequence[Label], other: Sequence[Label], most_skips: int | None = None) -> list[Label]:
    """The frontier of all pairs, those with more than ``most_skips`` skips left out."""
    return frontier(
        Label(a.worth + b.worth, a.params + b.params, a.macs + b.macs, a.skips + b.skips, (a.picks, b.picks))
        for a in one
        for b in other
        if most_skips is None or a.skips + b.skips <= most_skips
    )


def frontier(labels: Iterable[Label]) -> list[Label]:
    """Those that no other one makes needless, best worth first; of equal ones the first."""
    kept: list[Label] = []
    stairs: dict[int, tuple[list[int], list[int]]] = {}
    for label in sorted(labels, key=lambda one: (-one.worth, *one[1:4])):
        if any(_covered(stair, label) for skips, stair in stairs.items() if skips <= label.skips):
            continue
        _add(stairs.setdefault(label.skips, ([], [])), label)
        kept.append(label)
    return kept


def _covered(stair: tuple[list[int], list[int]], label: Label) -> bool:
    """``stair``: parameters that rise and MACs that fall, of labels worth no less."""
    at = bisect_right(stair[0], label.params) - 1
    return at >= 0 and stair[1][at] <= label.macs


def _add(stair: tuple[list[int], list[int]], label: Label) -> None:
    first = bisect_left(stair[0], label.params)
    last = first
    while last < len(stair[0]) and stair[1][last] >= label.macs:
        last += 1
    stair[0][first:last], stair[1][first:last] = [label.params], [label.macs]


def cheapest(parts: Sequence[Sequence[Label]], quantity: int, limits: Costs) -> Label | None:
    """The combination of fewest parameters (``quantity`` 0) or MACs (1) within the limits; None: there is none."""
    labels = [EMPTY]
    for part in parts:
        free = [label._replace(worth=0.0, skips=0) for label in part]
        labels = [
            label for label in joined(labels, frontier(free)) if label.params <= limits[0] and label.macs <= limits[1]
        ]
    return min(labels, key=lambda label: label[1 + quantity], default=None)


def best(parts: Sequence[Sequence[Label]], limits: Costs) -> Label | None:
    """The combination of one label from each part that is worth most within the limits; None where there is none."""
    parts = [frontier(one._replace(skips=0) for one in part) for part in parts]
    parts = _completable(parts, limits)
    if not all(parts):
        return None
    prices, best_yet = _relaxed(parts, limits)
    labels = [EMPTY]
    for index, part in enumerate(parts):
        rest = parts[index + 1 :]
        needed = [sum(min(one[1 + q] for one in later) for later in rest) for q in (0, 1)]
        hope = sum(max(_reduced(one, prices) for one in later) for later in rest) + _value_of(limits, prices)
        floor = -math.inf if best_yet is None else best_yet.worth
        labels = [
            one
            for one in joined(labels, part)
            if one.params + needed[0] <= limits[0]
            and one.macs + needed[1] <= limits[1]
            and _reduced(one, prices) + hope > floor - ROUNDING
        ]
    found = max(labels, key=lambda one: one.worth, default=None)
    if found is None or (best_yet is not None and best_yet.worth >= found.worth):
        return best_yet
    return found


def _completable(parts: Sequence[Sequence[Label]], limits: Costs) -> list[list[Label]]:
    """Labels that fit beside the cheapest of every other part, each limit by itself."""
    least = [[min(one[1 + q] for one in part) for part in parts] if all(parts) else [] for q in (0, 1)]
    if not all(parts):
        return [[] for _ in parts]
    room = [[limits[q] - sum(least[q]) + least[q][index] for index in range(len(parts))] for q in (0, 1)]
    return [
        [one for one in part if one.params <= room[0][index] and one.macs <= room[1][index]]
        for index, part in enumerate(parts)
    ]


def _reduced(label: Label, prices: Costs) -> float:
    return label.worth - prices[0] * label.params - prices[1] * label.macs


def _value_of(limits: Costs, prices: Costs) -> float:
    return sum(price * limit for price, limit in zip(prices, limits, strict=True) if price)


def _relaxed(parts: Sequence[Sequence[Label]], limits: Costs) -> tuple[Costs, Label | None]:
    """(the prices of the least upper bound found, the best combination within the limits met on the way).

    At prices each part is free to take its best; the dearer, the cheaper what it takes. For a few mixtures of both
    prices the scale is halved towards the point from which the limits hold.
    """
    tried = [_at(parts, limits, (0.0, 0.0))]
    mixtures = [mix for mix in ((1.0, 0.0), (0.0, 1.0), (0.5, 0.5)) if not math.isinf(_value_of(limits, mix))]
    spread = sum(part[0].worth - min(one.worth for one in part) for part in parts)
    for mix in mixtures if tried[0][2] is None else ():
        low, high = 0.0, (1.0 + spread) * 1e4  # the price of a whole limit: not even a ten-thousandth is worth it
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            prices = tuple(middle * share / max(limit, 1) for share, limit in zip(mix, limits, strict=True))
            tried.append(_at(parts, limits, (prices[0], prices[1])))
            low, high = (middle, high) if tried[-1][2] is None else (low, middle)
    _, tightest, _ = min(tried, key=lambda one: one[0])
    met = [one for _, _, one in tried if one is not None]
    return tightest, max(met, key=lambda one: one.worth, default=None)


def _at(parts: Sequence[Sequence[Label]], limits: Costs, prices: Costs) -> tuple[float, Costs, Label | None]:
    taken = [max(part, key=lambda one: _reduced(one, prices)) for part in parts]
    whole = EMPTY
    for one in taken:
        whole = Label(
            whole.worth + one.worth, whole.params + one.params, whole.macs + one.macs, 0, (whole.picks, one.picks)
        )
    fits = whole.params <= limits[0] and whole.macs <= limits[1]
    bound = sum(_reduced(one, prices) for one in taken) + _value_of(limits, prices)
    return bound, prices, whole if fits else None
