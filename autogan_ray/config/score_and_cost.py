"""The setting ``tune.objectives``: what a study wants low, its score alone or a cost of derived networks beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from autogan_ray.base.errors import nearest

SCORE = "fid"
"""The first objective of every study, by which its trials are ranked."""
COSTS = ("macs_g", "params_g", "macs_d", "params_d")
"""The costs of a derived network that can be the second: fields of a search's record, columns of ``trials``."""


def _listed(value: object) -> object:
    """Reads ``fid,macs_g`` as a list, as one types it after ``--set``."""
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else value


def _score_then_cost(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in (SCORE, *COSTS):
            raise ValueError(f"no objective {name!r}; {nearest(name, (SCORE, *COSTS))}")
    if list(names) == [SCORE] or (names[:1] == (SCORE,) and len(names) == 2 and names[1] in COSTS):
        return names
    costs = [name for name in dict.fromkeys(names) if name != SCORE]
    wanted = [SCORE, costs[0]] if costs else [SCORE]
    raise ValueError(f"'fid' stands first, and behind it one cost at most; did you mean {wanted}?")


Objectives = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_score_then_cost)]


def cost_in(config: Mapping[str, Any]) -> str | None:
    """Returns the cost that a study's configuration, as plain data, names beside the score; None where it names none.

    Earlier versions recorded no objectives.
    """
    names = config.get("tune", {}).get("objectives", ())
    return next((name for name in names if name in COSTS), None)
