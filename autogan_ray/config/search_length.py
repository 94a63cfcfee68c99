"""How long a search is, counted in steps."""

from __future__ import annotations

import math

from autogan_ray.config.sections import SearchConfig


def total_steps(search: SearchConfig, evaluations: int) -> int:
    """Returns the number of the discriminator's steps in a search, at least one for each evaluation."""
    return max(evaluations, math.ceil(search.kimg * 1000 / search.batch_size))


def steps_g(search: SearchConfig, total: int) -> int:
    """Returns the number of the generator's steps after the warm-up; each comes with an update of its architecture.

    Args:
        total: steps of the discriminator in the whole search, the warm-up included.
    """
    every = search.d_steps_per_g_step
    return total // every - math.ceil(search.warmup * total) // every


def rung_evaluations(grace: int, factor: float, last: int) -> list[int]:
    """Returns the evaluations at which ASHA decides about trials of ``last`` evaluations.

    A trial enters a rung (grace times a power of the factor) at its first evaluation at or past it, the highest open
    rung first, and one rung at an evaluation: with rungs less than one evaluation apart the lower ones are entered
    later (as Ray has it).
    """
    rungs, rung = list[float](), float(grace)
    while rung < last:
        rungs.append(rung)
        rung = grace * factor ** len(rungs)
    due = []
    for evaluation in range(1, last):
        reached = [rung for rung in rungs if rung <= evaluation]
        if reached:
            due.append(evaluation)
            rungs.remove(max(reached))
    return due


def phases_of(search: SearchConfig, steps: int) -> int:
    """Returns how often the controller of ``reinforce`` learns in a search.

    Args:
        steps: steps of the generator after the warm-up.
    """
    return search.controller_phases or min(20, steps)
