"""The temperature as a function of a search's progress."""

from __future__ import annotations

import math


def temperature(schedule: str, start: float, end: float, progress: float) -> float:
    """From ``start`` at progress 0 to ``end`` at progress 1.

    ``exponential``: start * (end / start) ** progress (the published AdversarialNAS schedule, 5 to 0.1);
    ``linear``; ``cosine``: end + (start - end) * (1 + cos(pi * progress)) / 2; ``constant``: start.
    """
    progress = min(max(progress, 0.0), 1.0)
    if schedule == "constant":
        return start
    if schedule == "linear":
        return start + (end - start) * progress
    if schedule == "cosine":
        return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
    assert schedule == "exponential", schedule
    return float(start * (end / start) ** progress)
