"""How a genotype follows from probabilities under rules: which choices are left out, and what limits hold.

Without rules it is the likeliest choice of each decision, and where a node would have no input, the fewest edges are
filled. The published repair (AdversarialNAS) treats one node after the other; here the smallest set of edges is taken
that gives every needed node an input. Both agree wherever a single edge is enough, which is each case of G.

A limit on the cost of a network makes that network the most probable connected one (greatest sum of log-probabilities)
within all its limits, exactly: :mod:`~autogan_ray.spaces.derivation.cell_labels` fills the cells and
:mod:`~autogan_ray.spaces.derivation.frontier` joins them.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from autogan_ray.spaces.derivation.cell_labels import FREE, CellRules, Prices, Rows, labels_of_cells, log_of
from autogan_ray.spaces.derivation.frontier import Costs, Label, best, cheapest
from autogan_ray.spaces.part import Decision, Part
from autogan_ray.spaces.space import SearchSpace

Probabilities = Rows
"""decision -> choice -> probability."""

NETWORKS = ("g", "d")
QUANTITIES = ("params", "macs")
MOST_REDRAWS = 50
"""Where even so many draws break a rule, the most probable genotype of the last draw's noisy rows is taken."""


@dataclass(frozen=True)
class Limit:
    """A limit on the cost of a network.

    Args:
        most: of the quantity (parameters, MACs of one image), at most.
        prices: of that quantity and network (``nets/cost/prices.py``).
    """

    most: float
    prices: Prices


@dataclass(frozen=True)
class Rules:
    """What a derived genotype obeys; by default nothing but that it is connected.

    Args:
        exclude_none: no edge takes its choice "no connection" (DARTS, Liu et al. 2019).
        most_skips: network (``g``, ``d``) -> edges ``skip`` in each of its cells, at most.
        limits: (network, ``params`` or ``macs``) -> limit.
    """

    exclude_none: bool = False
    most_skips: Mapping[str, int] = field(default_factory=dict)
    limits: Mapping[tuple[str, str], Limit] = field(default_factory=dict)

    def allowed(self, probabilities: Probabilities, decisions: Iterable[Decision]) -> dict[str, dict[str, float]]:
        """Returns the choices that may be taken, with the probabilities they had.

        Args:
            probabilities: of any of the decisions.
            decisions: of the space; they know which choice means "no connection".
        """
        cut = {d.name: d.no_connection for d in decisions} if self.exclude_none else {}
        return {
            name: {choice: p for choice, p in row.items() if choice != cut.get(name)}
            for name, row in probabilities.items()
        }

    def equally_likely(self, space: SearchSpace, network: str, image_size: int) -> Rows:
        """Returns all choices that one network may take, each as probable as any other: for when only costs matter."""
        decisions = space.decisions(image_size, network)
        return self.allowed({d.name: dict.fromkeys(d.choices, 1.0) for d in decisions}, decisions)

    def prices(self, network: str, quantity: str) -> Prices:
        """Returns the prices of what is limited; none where it is not."""
        limit = self.limits.get((network, quantity))
        return limit.prices if limit else FREE

    def room(self, network: str) -> Costs:
        """Returns (parameters, MACs) that are left for what is decided; infinite where there is no limit."""
        params, macs = (
            limit.most - limit.prices.get(frozenset(), 0) if limit else math.inf
            for limit in (self.limits.get((network, quantity)) for quantity in QUANTITIES)
        )
        return params, macs


NO_RULES = Rules()


def derive(
    space: SearchSpace,
    probabilities: Probabilities,
    image_size: int,
    rules: Rules = NO_RULES,
    settled: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Returns decision -> choice: the genotype of these probabilities that obeys the rules.

    * No rules: the likeliest choices, a node without input repaired by the fewest changes.
    * ``exclude_none``: every edge of a DAG takes its likeliest operation.
    * Skips: as long as a cell has more than it may, its least probable ``skip`` gives way to the next likeliest choice
      there (P-DARTS, Chen et al. 2019).
    * A limit on cost: the most probable connected genotype of that network within its limits, skips included.

    Args:
        probabilities: of all decisions of both networks; a choice that is missing is not taken.
        settled: decision -> choice, all of a network or none: such a network is taken as it is, without the rules.

    Raises:
        ValueError: no connected network obeys the rules. With all choices there, that cannot be where
            ``nets/cost/limits.py`` let the rules pass.
    """
    rows = rules.allowed(probabilities, space.decisions(image_size))
    choices = dict(settled or {})
    for network in NETWORKS:
        own = rows_of(network, rows)
        if not own.keys() <= choices.keys():
            choices |= _derived(space, network, own, image_size, rules)
    return {name: choices[name] for name in probabilities}


def _derived(space: SearchSpace, network: str, rows: Rows, image_size: int, rules: Rules) -> dict[str, str]:
    """Returns the choices of one network, of these rows."""
    choices = None
    if all(limited != network for limited, _ in rules.limits):
        most_skips = rules.most_skips.get(network)
        choices = _by_fewest_changes(space.networks[network], network, rows, image_size, most_skips)
    if choices is None:  # limits on cost; or the fewest changes led where edges have little to choose from
        choices = most_probable(space, network, rows, image_size, rules)
    if choices is None:
        raise ValueError(f"space {space.name!r}: no connected network {network!r} obeys the rules")
    return choices


def rows_of(network: str, rows: Rows) -> Rows:
    """Returns the rows of one network."""
    return {name: row for name, row in rows.items() if name.startswith(f"{network}.")}


def _by_fewest_changes(
    part: Part, network: str, rows: Rows, image_size: int, most_skips: int | None
) -> dict[str, str] | None:
    """Returns the likeliest choices of one network after repairs and after skips that give way.

    None where these do not lead to a connected network with few enough skips.
    """
    left = {name: dict(row) for name, row in rows.items()}
    identity = {decision.name: decision.identity for decision in part.decisions(network, image_size)}
    while all(left.values()):
        choices = _repaired(part, network, left, image_size)
        if choices is None or most_skips is None:
            return choices
        cells: dict[str, list[str]] = {}
        for name, choice in choices.items():
            cells.setdefault(name.rsplit(".", 1)[0], []).extend([name] if choice == identity[name] else [])
        surplus = [names for names in cells.values() if len(names) > most_skips]
        if not surplus:
            return choices
        able = [name for name in reversed(surplus[0]) if len(left[name]) > 1]
        if not able:
            return None
        weakest = min(able, key=lambda name: left[name][choices[name]])
        del left[weakest][choices[weakest]]
    return None


def _repaired(part: Part, network: str, rows: Rows, image_size: int) -> dict[str, str] | None:
    """Returns the likeliest choice of each decision of one network, with as few edges filled as its nodes need.

    Of the smallest sets of empty edges that suffice, the one with the least probability of "no connection" takes its
    likeliest operations instead. Ties between choices go to the earlier one. None where the choices that are left do
    not suffice.
    """
    choices = {name: max(row, key=row.__getitem__) for name, row in rows.items()}
    for layout in part.layout(image_size):
        lead = layout.lead(network)
        decided = part.decided(layout)
        own = {decision.name: choices[lead + decision.name] for decision in decided}
        if not part.dead_ends(layout, own):
            continue
        empty = [d.name for d in decided if own[d.name] == d.no_connection and len(rows[lead + d.name]) > 1]
        operations = {name: _likeliest_but(rows[lead + name], own[name]) for name in empty}
        for count in range(1, len(empty) + 1):
            enough = [
                names
                for names in itertools.combinations(empty, count)
                if not part.dead_ends(layout, own | {name: operations[name] for name in names})
            ]
            if enough:
                filled = min(enough, key=lambda names: sum(rows[lead + name][own[name]] for name in names))
                choices |= {lead + name: operations[name] for name in filled}
                break
        else:
            return None
    return choices


def _likeliest_but(row: Mapping[str, float], excluded: str) -> str:
    rest = {choice: p for choice, p in row.items() if choice != excluded}
    return max(rest, key=rest.__getitem__)


def most_probable(space: SearchSpace, network: str, rows: Rows, image_size: int, rules: Rules) -> dict[str, str] | None:
    """Returns the connected choices of one network, of these rows, that obey its rules and are most probable.

    Their sum of log-probabilities is the greatest. None where no connected choices obey the rules.
    """
    label = best(_cells(space, network, rows, image_size, rules), rules.room(network))
    return None if label is None else label.choices()


def completable(
    space: SearchSpace, network: str, rows: Mapping[str, Iterable[str]], image_size: int, rules: Rules
) -> bool:
    """Returns whether a connected network within the rules can be made of these choices (decision -> choices)."""
    # With equal probabilities only costs count, and few ways to fill a cell are worth keeping.
    equal = {name: dict.fromkeys(row, 1.0) for name, row in rows.items()}
    allowed = rules.allowed(equal, space.decisions(image_size, network))
    return most_probable(space, network, allowed, image_size, rules) is not None


def smallest(
    space: SearchSpace, network: str, image_size: int, rules: Rules, quantity: str
) -> tuple[int, dict[str, str]] | None:
    """Returns the least cost of a connected network that obeys the rules, and choices that attain it.

    None where no connected network does.

    Args:
        quantity: ``params`` or ``macs``, of which ``rules`` know the prices.
    """
    cells = _cells(space, network, rules.equally_likely(space, network, image_size), image_size, rules)
    least = cheapest(cells, QUANTITIES.index(quantity), rules.room(network))
    if least is None:
        return None
    own = least.params if quantity == "params" else least.macs
    return own + rules.prices(network, quantity).get(frozenset(), 0), least.choices()


def _cells(space: SearchSpace, network: str, rows: Rows, image_size: int, rules: Rules) -> list[list[Label]]:
    params, macs = (rules.prices(network, quantity) for quantity in QUANTITIES)
    return labels_of_cells(space, network, image_size, CellRules(rows, params, macs, rules.most_skips.get(network)))


def obeys(space: SearchSpace, network: str, choices: Mapping[str, str], image_size: int, rules: Rules) -> bool:
    """Returns whether the choices of one network are connected and within the rules."""
    rows = rules.allowed({name: {choice: 1.0} for name, choice in choices.items()}, space.decisions(image_size))
    return most_probable(space, network, rows, image_size, rules) is not None


def candidates(
    space: SearchSpace,
    probabilities: Probabilities,
    image_size: int,
    rules: Rules,
    count: int,
    rng: random.Random,
    settled: Mapping[str, str] | None = None,
) -> list[dict[str, str]]:
    """Returns :func:`derive`'s genotype and behind it the different genotypes among ``count`` draws of G's choices.

    A draw takes each decision's choice with its probability (of those that may be taken); a draw that is disconnected
    or breaks a rule is repeated. D's choices are :func:`derive`'s throughout, as nothing of D is scored.

    Args:
        settled: as :func:`derive`'s, of D at most.
    """
    likeliest = derive(space, probabilities, image_size, rules, settled)
    rows = rows_of("g", rules.allowed(probabilities, space.decisions(image_size)))
    genotypes = [likeliest]
    for _ in range(count):
        drawn = likeliest | _draw(space, rows, image_size, rules, rng)
        if drawn not in genotypes:
            genotypes.append(drawn)
    return genotypes


def _draw(space: SearchSpace, rows: Rows, image_size: int, rules: Rules, rng: random.Random) -> dict[str, str]:
    for _ in range(MOST_REDRAWS):
        # The likeliest after Gumbel noise is a draw (Gumbel 1954), and noisy rows have a most probable genotype too.
        noisy = {name: _noisy(row, rng) for name, row in rows.items()}
        choices = {name: max(row, key=row.__getitem__) for name, row in noisy.items()}
        if obeys(space, "g", choices, image_size, rules):
            return choices
    return _derived(space, "g", noisy, image_size, rules)


def _noisy(row: Mapping[str, float], rng: random.Random) -> dict[str, float]:
    logs = {choice: log_of(p) - math.log(-math.log(rng.random() or 0.5)) for choice, p in row.items()}
    top = max(logs.values())
    powers = {choice: math.exp(value - top) for choice, value in logs.items()}
    return {choice: power / sum(powers.values()) for choice, power in powers.items()}
