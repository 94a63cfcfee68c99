"""Where a searcher may look for a setting: one domain a setting, and under which other choices it matters.

A value; the translation to Optuna is in ``tune/searcher.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from autogan_ray.base.value import Value

Scalar = str | int | float | bool


class Domain(Value):
    """Exactly one of the four kinds."""

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
        """The values whose legality decides that of all."""
        return self.choice or self.uniform or self.loguniform or self.randint or ()


def decided(sweep: Mapping[str, Domain], fixed: Callable[[str], Any]) -> dict[str, Domain]:
    """The sweep in which conditions ask only about swept settings, and can hold: all others are decided already.

    Args:
        fixed: dotted key -> the study's own value.
    """
    kept = dict(sweep)
    while True:
        lost = [
            key
            for key, domain in kept.items()
            if any(not _possible(kept.get(other), fixed(other), wanted) for other, wanted in domain.when.items())
        ]
        if not lost:
            break
        for key in lost:
            del kept[key]  # which may decide a condition of another
    return {
        key: domain.model_copy(update={"when": {o: w for o, w in domain.when.items() if o in kept}})
        for key, domain in kept.items()
    }


def _possible(domain: Domain | None, fixed: Any, wanted: tuple[Scalar, ...]) -> bool:
    """Whether a condition can hold: on a setting with this domain, or with this fixed value."""
    return fixed in wanted if domain is None else bool(set(domain.choice or ()) & set(wanted))


def in_order(sweep: Mapping[str, Domain]) -> dict[str, Domain]:
    """Settings behind those that their conditions ask about; otherwise as they stand."""
    rank = dict.fromkeys(sweep, 0)
    for _ in sweep:
        for key, domain in sweep.items():
            rank[key] = max((rank[other] + 1 for other in domain.when if other in rank), default=0)
    return dict(sorted(sweep.items(), key=lambda item: rank[item[0]]))
