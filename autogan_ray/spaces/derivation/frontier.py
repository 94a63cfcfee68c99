"""The most probable combination of parts within limits on cost, exactly: no torch, no search space, only labels.

A *label* is a way to fill a part of a network: what it is worth (a sum of log-probabilities), what it costs, what it
picks. A label can never be needed where another label of the same part is worth as much and costs no more. What is left
of a part's labels is its *frontier*. Frontiers of parts are joined, part after part: every pair of labels is a label of
both parts, and the frontier of these pairs is kept. That is exact for any number of limits.

Three edges, each with the choices ``skip`` (0 MACs) and ``conv`` (5 MACs), as labels (worth, MACs):

    edge   skip      conv      frontier
    e0     (-2, 0)   (-1, 5)   both: conv is worth more, skip costs less
    e1     (-1, 0)   (-3, 5)   skip alone: conv is worth less and costs more
    e2     (-4, 0)   (-1, 5)   both

    e0 and e1       (-2, 5) conv skip,  (-3, 0) skip skip
    e0, e1 and e2   (-3, 10) conv skip conv,  (-4, 5) skip skip conv,  (-7, 0) skip skip skip
                    and not (-6, 5) conv skip skip, which costs as much as (-4, 5) and is worth less

Within a limit of 7 MACs the most probable combination is then (-4, 5): ``skip``, ``skip``, ``conv``. Two bounds keep
frontiers short while there are parts to come:

* a label that the cheapest of the other parts cannot complete within a limit is dropped;
* with prices on the costs (a Lagrangian relaxation of the limits; Everett, Operations Research 1963) the best worth
  that any completion can have is known from above, and a label that cannot beat the best combination so far is dropped.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

Costs = tuple[float, float]
"""Parameters and multiply-accumulates."""

HALVINGS = 40
"""How often the common scale of both prices is halved, for each mixture of them: bounds need no more."""

ROUNDING = 1e-12
"""Of sums of log-probabilities in different orders."""


class Label(NamedTuple):
    """A way to fill a part of a network.

    Args:
        worth: sum of the log-probabilities of what is picked.
        params, macs: what it costs.
        skips: how many edges of the part are ``skip``, where these are limited.
        picks: a binary tree whose leaves are (decision, choice) pairs, so that joining two labels copies nothing.
    """

    worth: float
    params: int
    macs: int
    skips: int
    picks: Any

    def choices(self) -> dict[str, str]:
        """decision -> choice."""
        choices, todo = {}, [self.picks]
        while todo:
            node = todo.pop()
            if node and isinstance(node[0], str):
                choices[node[0]] = node[1]
            else:
                todo.extend(node)
        return choices


EMPTY = Label(0.0, 0, 0, 0, ())


def joined(part: Sequence[Label], other: Sequence[Label], most_skips: int | None = None) -> list[Label]:
    """Returns the frontier of all pairs of labels of two parts, those with more than ``most_skips`` skips left out."""
    return frontier(
        Label(a.worth + b.worth, a.params + b.params, a.macs + b.macs, a.skips + b.skips, (a.picks, b.picks))
        for a in part
        for b in other
        if most_skips is None or a.skips + b.skips <= most_skips
    )


def frontier(labels: Iterable[Label]) -> list[Label]:
    """Returns the labels that no other label makes needless, best worth first; of equal labels the first."""
    kept: list[Label] = []
    stairs: dict[int, tuple[list[int], list[int]]] = {}
    for label in sorted(labels, key=lambda label: (-label.worth, *label[1:4])):
        if any(_covered(stair, label) for skips, stair in stairs.items() if skips <= label.skips):
            continue
        _add(stairs.setdefault(label.skips, ([], [])), label)
        kept.append(label)
    return kept


def _covered(stair: tuple[list[int], list[int]], label: Label) -> bool:
    """Returns whether a label on the stair costs no more in both quantities.

    Args:
        stair: parameters that rise and, beside them, MACs that fall, of labels that are worth no less.
    """
    at = bisect_right(stair[0], label.params) - 1
    return at >= 0 and stair[1][at] <= label.macs


def _add(stair: tuple[list[int], list[int]], label: Label) -> None:
    first = bisect_left(stair[0], label.params)
    last = first
    while last < len(stair[0]) and stair[1][last] >= label.macs:
        last += 1
    stair[0][first:last], stair[1][first:last] = [label.params], [label.macs]


def cheapest(parts: Sequence[Sequence[Label]], quantity: int, limits: Costs) -> Label | None:
    """Returns the combination of fewest parameters (``quantity`` 0) or MACs (1) within the limits; None for none."""
    labels = [EMPTY]
    for part in parts:
        free = [label._replace(worth=0.0, skips=0) for label in part]
        labels = [
            label for label in joined(labels, frontier(free)) if label.params <= limits[0] and label.macs <= limits[1]
        ]
    return min(labels, key=lambda label: label[1 + quantity], default=None)


def best(parts: Sequence[Sequence[Label]], limits: Costs) -> Label | None:
    """Returns the combination of a label from each part that is worth most within the limits; None for none."""
    parts = [frontier(label._replace(skips=0) for label in part) for part in parts]
    parts = _completable(parts, limits)
    if not all(parts):
        return None
    prices, best_yet = _relaxed(parts, limits)
    labels = [EMPTY]
    for index, part in enumerate(parts):
        rest = parts[index + 1 :]
        needed = [sum(min(label[1 + q] for label in later) for later in rest) for q in (0, 1)]
        hope = sum(max(_reduced(label, prices) for label in later) for later in rest) + _value_of(limits, prices)
        floor = -math.inf if best_yet is None else best_yet.worth
        labels = [
            label
            for label in joined(labels, part)
            if label.params + needed[0] <= limits[0]
            and label.macs + needed[1] <= limits[1]
            and _reduced(label, prices) + hope > floor - ROUNDING
        ]
    joined_best = max(labels, key=lambda label: label.worth, default=None)
    if joined_best is None or (best_yet is not None and best_yet.worth >= joined_best.worth):
        return best_yet
    return joined_best


def _completable(parts: Sequence[Sequence[Label]], limits: Costs) -> list[list[Label]]:
    """Returns the labels that fit beside the cheapest of every other part, each limit by itself."""
    if not all(parts):
        return [[] for _ in parts]
    least = [[min(label[1 + q] for label in part) for part in parts] for q in (0, 1)]
    room = [[limits[q] - sum(least[q]) + least[q][index] for index in range(len(parts))] for q in (0, 1)]
    return [
        [label for label in part if label.params <= room[0][index] and label.macs <= room[1][index]]
        for index, part in enumerate(parts)
    ]


def _reduced(label: Label, prices: Costs) -> float:
    """Returns what a label is worth once its costs are paid for."""
    return label.worth - prices[0] * label.params - prices[1] * label.macs


def _value_of(limits: Costs, prices: Costs) -> float:
    return sum(price * limit for price, limit in zip(prices, limits, strict=True) if price)


def _relaxed(parts: Sequence[Sequence[Label]], limits: Costs) -> tuple[Costs, Label | None]:
    """Returns (the prices of the least upper bound, the best combination within the limits met on the way).

    At given prices every part is free to take its best label; the dearer the costs, the cheaper these labels. For a few
    mixtures of both prices, their scale is halved towards the point from which the limits hold.
    """
    tried = [_at(parts, limits, (0.0, 0.0))]
    mixtures = [mix for mix in ((1.0, 0.0), (0.0, 1.0), (0.5, 0.5)) if not math.isinf(_value_of(limits, mix))]
    spread = sum(part[0].worth - min(label.worth for label in part) for part in parts)
    for mix in mixtures if tried[0][2] is None else ():
        low, high = 0.0, (1.0 + spread) * 1e4  # the price of a whole limit: not even a ten-thousandth is worth it
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            prices = tuple(middle * share / max(limit, 1) for share, limit in zip(mix, limits, strict=True))
            tried.append(_at(parts, limits, (prices[0], prices[1])))
            low, high = (middle, high) if tried[-1][2] is None else (low, middle)
    _, tightest, _ = min(tried, key=lambda bound_prices_label: bound_prices_label[0])
    met = [label for _, _, label in tried if label is not None]
    return tightest, max(met, key=lambda label: label.worth, default=None)


def _at(parts: Sequence[Sequence[Label]], limits: Costs, prices: Costs) -> tuple[float, Costs, Label | None]:
    """Returns (upper bound, the prices, the parts' best labels at these prices where they are within the limits)."""
    taken = [max(part, key=lambda label: _reduced(label, prices)) for part in parts]
    whole = EMPTY
    for label in taken:
        params, macs = whole.params + label.params, whole.macs + label.macs
        whole = Label(whole.worth + label.worth, params, macs, 0, (whole.picks, label.picks))
    fits = whole.params <= limits[0] and whole.macs <= limits[1]
    bound = sum(_reduced(label, prices) for label in taken) + _value_of(limits, prices)
    return bound, prices, whole if fits else None
