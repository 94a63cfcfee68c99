"""Time: the share of each stage, and how many repetitions fit after the first one has been measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

Clock = Callable[[], float]
END_S = 15.0
"""Kept back from the budget for starting, ending processes and printing the table."""
END_PART = 0.1
"""At most this part of a small budget is kept back."""
MARGIN = 0.9
"""Part of a limit that a job plans with; the rest is for what it cannot foresee."""


def shared(budget_s: float) -> float:
    """Seconds of a budget that the stages may use together."""
    return budget_s - min(END_S, END_PART * budget_s)


def share(weights: Sequence[float], left_s: float) -> float:
    """Seconds for the first of several stages (or parts) with these weights, where ``left_s`` is left for them all.

    What an earlier one did not use is thereby divided among the later ones, and the sum never exceeds the whole.

    >>> share([1.0, 3.0], 100.0)
    25.0
    """
    return max(0.0, left_s) * weights[0] / sum(weights)


def fitting(first_s: float, left_s: float, most: int) -> int:
    """How many more repetitions fit into ``left_s`` if each takes ``first_s``; 0 to ``most``.

    >>> fitting(2.0, 9.0, 10)
    4
    """
    return max(0, min(most, int(left_s / max(first_s, 1e-9))))


def repeated(call: Callable[[], Any], seconds: float, most: int, clock: Clock = time.perf_counter) -> list[float]:
    """Times of one call each. The first is measured, and as many more are made as then fit into ``seconds``.

    Args:
        call: must return when its work is done, on a GPU too.
        seconds: for all of them together.
        most: repetitions at most, the first included; at least one is made.
    """
    begin = clock()
    call()
    times = [clock() - begin]
    for _ in range(fitting(times[0], seconds - times[0], most - 1)):
        before = clock()
        if before - begin + times[-1] > seconds:  # slower than the first
            break
        call()
        times.append(clock() - before)
    return times
