"""The corners of a sweep: what holds at all of them holds wherever a searcher looks between them."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from autogan_ray.config.sweep import Domain


def corners(sweep: Mapping[str, Domain], keys: Collection[str]) -> Iterator[dict[str, Any]]:
    """Every combination of the ends of these settings that can be proposed (dotted key -> value), each once.

    A setting is absent where its ``when`` does not hold; where that asks about settings beside ``keys``, both are
    given: with the setting and without. Nothing swept gives one empty corner.
    """
    # Those without conditions first, as they are proposed: so that every condition finds what it asks about.
    swept = sorted((key for key in sweep if key in keys), key=lambda key: bool(sweep[key].when))
    seen: list[dict[str, Any]] = []
    for values in itertools.product(*(sweep[key].ends() for key in swept)):
        inside: dict[str, Any] = {}
        for key, value in zip(swept, values, strict=True):
            asked = {other: wanted for other, wanted in sweep[key].when.items() if other in swept}
            if all(inside.get(other) in wanted for other, wanted in asked.items()):
                inside[key] = value
        unsure = [key for key in inside if set(sweep[key].when) - set(swept)]
        for count in range(len(unsure) + 1):
            for left_out in itertools.combinations(unsure, count):
                corner = {key: value for key, value in inside.items() if key not in left_out}
                if corner not in seen:
                    seen.append(corner)
                    yield corner
