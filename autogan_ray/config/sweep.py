"""A sweep: where a searcher may look for each setting, in which order it proposes them, and what it can propose.

These are values; ``tune/optuna_search.py`` translates them to Optuna.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from autogan_ray.base.value import Value

Scalar = str | int | float | bool


class Domain(Value):
    """Where a searcher may look for one setting: exactly one of the four kinds."""

    choice: tuple[Scalar, ...] | None = None
    uniform: tuple[float, float] | None = None
    loguniform: tuple[float, float] | None = None
    randint: tuple[int, int] | None = None
    """Both ends included."""
    when: dict[str, tuple[Scalar, ...]] = Field(default_factory=dict)
    """Other setting -> its values under which this one is proposed; otherwise the study's value stands."""

    @model_validator(mode="after")
    def _is_one_domain(self) -> Self:
        given = {kind: getattr(self, kind) for kind in ("choice", "uniform", "loguniform", "randint")}
        kinds = {kind: value for kind, value in given.items() if value}
        if len(kinds) != 1:
            raise ValueError(f"one of choice, uniform, loguniform, randint is wanted, not {len(kinds)} of them")
        kind, value = next(iter(kinds.items()))
        if kind == "choice":
            if len(set(map(repr, value))) != len(value):
                raise ValueError(f"choice = {list(value)} names a value twice")
        elif not value[0] < value[1]:
            raise ValueError(f"{kind} = {list(value)}: the first end must be below the second")
        if kind == "loguniform" and value[0] <= 0:
            raise ValueError(f"loguniform = {list(value)}: both ends must be above 0")
        return self

    def ends(self) -> tuple[Any, ...]:
        """Returns both ends of a range, or every value of a choice."""
        return self.choice or self.uniform or self.loguniform or self.randint or ()

    def is_proposed(self, proposed: Mapping[str, Any]) -> bool:
        """Returns whether the conditions hold beside what has been proposed for the settings that they ask about."""
        return all(proposed.get(other) in wanted for other, wanted in self.when.items())


def undecided(sweep: Mapping[str, Domain], fixed: Callable[[str], Any]) -> dict[str, Domain]:
    """Returns what a searcher has to propose: the sweep without all that the study's fixed settings decide already.

    The conditions that are left can hold, and ask about swept settings only.

    Args:
        fixed: dotted key -> the study's own value.
    """
    kept = dict(sweep)
    while True:
        lost = [
            key
            for key, domain in kept.items()
            if not all(_can_hold(kept.get(other), fixed(other), wanted) for other, wanted in domain.when.items())
        ]
        if not lost:
            break
        for key in lost:
            del kept[key]  # which may decide a condition of another setting
    return {
        key: domain.model_copy(update={"when": {o: w for o, w in domain.when.items() if o in kept}})
        for key, domain in kept.items()
    }


def _can_hold(domain: Domain | None, fixed: Any, wanted: tuple[Scalar, ...]) -> bool:
    """Returns whether a condition can hold on a setting with this domain, or with this fixed value."""
    return fixed in wanted if domain is None else bool(set(domain.choice or ()) & set(wanted))


def in_order(sweep: Mapping[str, Domain]) -> dict[str, Domain]:
    """Returns the sweep with every setting behind those that its conditions ask about.

    Settings with equally long chains of conditions behind them keep their order.

    Raises:
        ValueError: conditions ask about each other in a circle.
    """
    depths: dict[str, int] = {}

    def depth(key: str, asking: tuple[str, ...] = ()) -> int:
        if key in asking:
            circle = " asks about ".join(map(repr, (*asking[asking.index(key) :], key)))
            raise ValueError(f"sweep: conditions in a circle: {circle}; leave out one of these conditions")
        if key not in depths:
            others = [other for other in sweep[key].when if other in sweep]
            depths[key] = max((1 + depth(other, (*asking, key)) for other in others), default=0)
        return depths[key]

    return dict(sorted(sweep.items(), key=lambda item: depth(item[0])))


def corners(sweep: Mapping[str, Domain], keys: Collection[str], divided: Collection[str] = ()) -> list[dict[str, Any]]:
    """Returns proposals that stand for all proposals, as far as these settings are concerned.

    Each proposal is whole (dotted key -> value), as a searcher could make it. Together they hold every combination that
    can be proposed of the ends of these settings: the ends of a range, the least and the greatest number of a choice,
    and every other value of a choice. All other settings stand at their first value.

    The number of proposals is bounded by these settings and not by the sweep: without conditions it is at most the
    product over ``keys`` of 2 for a number and the number of choices for anything else. Each condition, of them or of
    the settings that their conditions ask about, at most doubles it.

    Args:
        sweep: in the order of proposals; its conditions ask about swept settings only.
        divided: settings whose divisors count: for them, every choice, and of a range the number next to its first end
            as well (no number above 1 divides both).
    """
    concerned: set[str] = set()
    waiting = [key for key in keys if key in sweep]
    while waiting:
        key = waiting.pop()
        if key not in concerned:
            concerned.add(key)
            waiting += sweep[key].when
    proposals: list[dict[str, Any]] = [{}]
    for key, domain in sweep.items():
        values = list(domain.ends())
        if key in divided:
            values = sorted({*values, values[0] + 1}) if domain.randint else values
        elif key in concerned:
            conditions = [sweep[other].when[key] for other in sorted(concerned) if key in sweep[other].when]
            values = _representatives(values, conditions, key in keys)
        else:
            values = values[:1]
        proposals = [
            grown
            for proposal in proposals
            for grown in ([proposal | {key: value} for value in values] if domain.is_proposed(proposal) else [proposal])
        ]
    return proposals


def _representatives(values: Sequence[Any], conditions: Sequence[tuple[Scalar, ...]], both_ends: bool) -> list[Any]:
    """Returns, of all values that fulfil the same conditions, the ends, or the first where those are not asked for."""
    groups: dict[tuple[bool, ...], list[Any]] = {}
    for value in values:
        groups.setdefault(tuple(value in wanted for wanted in conditions), []).append(value)
    return [value for group in groups.values() for value in (_ends(group) if both_ends else group[:1])]


def _ends(values: list[Any]) -> list[Any]:
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return sorted({min(values), max(values)})
    return values
