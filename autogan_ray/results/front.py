"""Fronts: of several points, each a score and a cost or more, those that no other beats.

A point beats another where it is nowhere greater and somewhere less. Of equal points none beats the other.

The points of a study are its trials, each with its best score and the cost of the genotype that scored it. Not every
evaluation is a point: a trial that ran longer would have more of them, and so more chances at a low score by luck;
genotypes of early evaluations were scored with weights that had seen less training; and it is one point of a trial that
the searcher is told of.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autogan_ray.config.score_and_cost import SCORE

Point = Sequence[float]


def column_of(objective: str) -> str:
    """Returns the column of ``trials`` that holds an objective."""
    return "fid_best" if objective == SCORE else objective


def on_front(points: Sequence[Point] | np.ndarray) -> list[bool]:
    """Returns for each point [points, objectives], all finite, whether no other beats it."""
    values = np.array(points, dtype=float)
    return [not bool(((values <= own).all(axis=1) & (values < own).any(axis=1)).any()) for own in values]


def front_ranks(points: Sequence[Point]) -> list[int]:
    """Returns for each point how many fronts lie before its own: 0 on the front, 1 on what is the front without it."""
    ranks, left, rank = [0] * len(points), list(range(len(points))), 0
    while left:
        best = on_front([points[index] for index in left])
        left = [index for index, among in zip(left, best, strict=True) if not among]
        rank += 1
        for index in left:
            ranks[index] = rank
    return ranks
