"""A selection with more to say than weights: which choices are left, and what an auxiliary skip carries.

A plain mapping of weights stands for all choices and no auxiliary skip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autogan_ray.spaces.part import Decision


class Drawn(dict[str, Any]):
    """decision -> weights of a mixture.

    Args:
        left: decision -> the numbers of the choices it still has, where it lost some: only these are computed.
        auxiliary: b of the auxiliary skip: a place of a DAG adds b * x where ``skip`` is still a choice.
    """

    def __init__(
        self, weights: Mapping[str, Any], left: Mapping[str, Sequence[int]] | None = None, auxiliary: float = 0.0
    ) -> None:
        super().__init__(weights)
        self.left, self.auxiliary = left or {}, auxiliary


def left_of(selection: Mapping[str, Any], decision: Decision) -> Sequence[int]:
    """The numbers of the choices that a mixture has to compute."""
    everything = range(len(decision.choices))
    return selection.left.get(decision.name, everything) if isinstance(selection, Drawn) else everything


def only_none_left(selection: Mapping[str, Any], decision: Decision) -> bool:
    """Whether a decision has lost all choices but "no connection"."""
    return [decision.choices[index] for index in left_of(selection, decision)] == [decision.no_connection]


def auxiliary_of(selection: Mapping[str, Any], decision: Decision) -> float:
    """b of a place's auxiliary skip; 0 for none."""
    skip = decision.identity
    if not isinstance(selection, Drawn) or not selection.auxiliary or skip is None:
        return 0.0
    return selection.auxiliary if decision.choices.index(skip) in left_of(selection, decision) else 0.0
