"""Progressive shrinking: decisions lose their weakest choice, as long as a network can be derived from the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from autogan_ray.nets.relaxation import ArchitectureParameters
from autogan_ray.spaces.derivation.derive import NO_RULES, Rules, completable
from autogan_ray.spaces.part import Decision
from autogan_ray.spaces.space import SearchSpace


def shrink(logits: ArchitectureParameters, space: SearchSpace, image_size: int, rules: Rules = NO_RULES) -> None:
    """Drops the least likely choice of each decision that has more than one left, the least likely of all first.

    A choice stays where its loss would leave a node without input even with every edge on that can be: so the repair of
    a derivation, which turns edges on, has a network for whatever the logits say. It also stays where no network within
    the rules of the derivation would be left. Of equally likely choices the last is dropped, as the first is derived.
    """
    table = logits.table()
    weakest: list[tuple[float, str, str]] = []
    for name, choices in logits.left().items():
        if len(choices) > 1:
            row = table[name]
            choice = min(reversed(choices), key=lambda choice: row[choice][1])
            weakest.append((table[name][choice][1], name, choice))
    for _, name, choice in sorted(weakest, key=lambda entry: entry[0]):
        left = logits.left()
        left[name] = tuple(other for other in left[name] if other != choice)
        if space.dead_ends(_all_on(logits.decisions, left), image_size):
            continue
        if rules == NO_RULES or completable(space, logits.decisions[0].network, left, image_size, rules):
            logits.drop(name, choice)


def _all_on(decisions: Iterable[Decision], left: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Returns each decision's first choice that is a connection, where it has such a choice."""
    return {d.name: next((c for c in left[d.name] if c != d.no_connection), left[d.name][0]) for d in decisions}
