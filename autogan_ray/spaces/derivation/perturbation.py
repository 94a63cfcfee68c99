"""Choosing by perturbation: what the supernet misses most is kept (DARTS-PT, Wang et al., ICLR 2021, algorithm 1).

Here are the order of things and the choice; how a mixture is scored, and how its weights adapt, is handed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from autogan_ray.spaces.derivation.derive import Probabilities, Rules, completable, rows_of
from autogan_ray.spaces.space import SearchSpace

Mixture = Mapping[str, Mapping[str, float]]
"""decision of G -> choice -> its architecture weight in the supernet; an absent choice is not in the mixture."""


def perturbed_choices(
    space: SearchSpace,
    probabilities: Probabilities,
    image_size: int,
    rules: Rules,
    order: Sequence[str],
    fid: Callable[[Mixture], float | None],
    adapt: Callable[[Mixture], None] = lambda mixture: None,
) -> dict[str, str]:
    """Returns G's choices: decision -> choice.

    Decision after decision, each choice with which the rest can still be completed by the rules is taken out of the
    mixture in turn (the others keep their proportions), and the choice without which FID is highest is kept; all later
    mixtures have it alone. Of equal choices the more probable is kept. Where only one choice is possible, nothing is
    scored.

    Args:
        order: names of all of G's decisions, in the order in which their choices are fixed.
        fid: returns the FID of a mixture; None, where its images were not finite, counts as infinite.
        adapt: called with the mixture after each decision.
    """
    mixture = {name: dict(row) for name, row in rows_of("g", probabilities).items()}
    allowed = rules.allowed(rows_of("g", probabilities), space.decisions(image_size))
    for name in order:
        able = [c for c in allowed[name] if completable(space, "g", allowed | {name: {c: 1.0}}, image_size, rules)]
        if not able:
            raise ValueError(f"space {space.name!r}: no connected generator obeys the rules")
        worth = {
            choice: (_worse(fid(mixture | {name: _without(mixture[name], choice)})), mixture[name][choice])
            for choice in (able if len(able) > 1 else ())
        }
        kept = max(worth, key=worth.__getitem__) if worth else able[0]
        mixture[name] = allowed[name] = {kept: 1.0}
        adapt(mixture)
    return {name: next(iter(row)) for name, row in mixture.items()}


def _worse(fid: float | None) -> float:
    return math.inf if fid is None else fid


def _without(row: Mapping[str, float], choice: str) -> dict[str, float]:
    """Returns the weights of the other choices, in their proportions, with sum 1."""
    left = {other: p for other, p in row.items() if other != choice}
    total = sum(left.values())
    if not total > 0:  # all the probability was the choice's
        return {other: 1 / len(left) for other in left}
    return {other: p / total for other, p in left.items()}
