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


def phases_of(search: SearchConfig, steps: int) -> int:
    """Returns how often the controller of ``reinforce`` learns in a search.

    Args:
        steps: steps of the generator after the warm-up.
    """
    return search.controller_phases or min(20, steps)
