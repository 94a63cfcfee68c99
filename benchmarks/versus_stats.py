"""The statistics of comparisons: intervals, rank correlations, agreement. Pure numbers.

Everything that resamples begins with the same random numbers, so that a report printed twice says the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

DRAWS = 4000
_CHUNKS = 16


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its 95 % interval; ends are None where ``n`` is too small for one."""

    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class RankCorrelation:
    """Kendall's tau-b of ``n`` points with its p-value and the ends of its bootstrap interval.

    All but ``n`` are None under three points, or where one side is constant.
    """

    n: int
    tau: float | None = None
    p: float | None = None
    low: float | None = None
    high: float | None = None


def paired_interval(differences: Sequence[float]) -> Interval | None:
    """Returns Student's interval for the mean of paired differences; None for no pair at all."""
    n = len(differences)
    if n == 0:
        return None
    ends = stats.ttest_1samp(differences, 0).confidence_interval() if n > 1 else (None, None)
    return Interval(float(np.mean(differences)), *ends, n)


def welch_interval(first: Sequence[float], second: Sequence[float]) -> Interval | None:
    """Returns Welch's interval for mean(first) - mean(second) of independent samples; its ``n`` counts both.

    None where a sample is empty.
    """
    left, right = np.asarray(first), np.asarray(second)
    n = len(left) + len(right)
    if not len(left) or not len(right):
        return None
    difference = float(left.mean() - right.mean())
    if min(len(left), len(right)) < 2:
        return Interval(difference, None, None, n)
    if np.ptp(left) == np.ptp(right) == 0:  # scipy divides by the variance
        return Interval(difference, difference, difference, n)
    return Interval(difference, *stats.ttest_ind(left, right, equal_var=False).confidence_interval(), n)


def bootstrap(statistic: Callable[..., np.ndarray], *samples: Sequence[float]) -> Interval | None:
    """Returns a statistic with its percentile bootstrap; None for an empty sample, and where the statistic is NaN.

    ``scipy.stats.bootstrap`` refuses samples of one value and gives no interval where a resample has no statistic; here
    such resamples are left out.

    Args:
        statistic: maps samples [..., n] to values [...].
        samples: are resampled independently; ``n`` of the interval counts all of them. For points with several
            coordinates hand over the numbers of the rows, and let the statistic look them up.
    """
    arrays = [np.asarray(sample) for sample in samples]
    if not all(map(len, arrays)) or math.isnan(value := float(statistic(*arrays))):
        return None
    n = sum(map(len, arrays))
    if n < 2:
        return Interval(value, None, None, n)
    rng = np.random.default_rng(0)
    resamples = [array[rng.integers(len(array), size=(DRAWS, len(array)))] for array in arrays]
    parts = zip(*(np.split(resample, _CHUNKS) for resample in resamples), strict=True)  # signs of all pairs are large
    low, high = np.nanquantile(np.concatenate([statistic(*part) for part in parts]), [0.025, 0.975])
    return Interval(value, float(low), float(high), n)


def bootstrap_mean(values: Sequence[float]) -> Interval | None:
    """Returns the percentile bootstrap of a mean. Of ten values it is some 10 % narrower than Student's: read both."""
    return bootstrap(lambda sample: sample.mean(-1), values)


def bootstrap_difference(first: Sequence[float], second: Sequence[float]) -> Interval | None:
    """Returns the percentile bootstrap of mean(first) - mean(second), both samples resampled independently."""
    return bootstrap(lambda left, right: left.mean(-1) - right.mean(-1), first, second)


def kendall(x: Sequence[float], y: Sequence[float]) -> RankCorrelation:
    """Returns Kendall's tau-b over the points that have both coordinates; NaN is a missing one.

    A point drawn twice by the bootstrap is tied with itself on both sides, and tau-b takes such pairs out of its
    denominator.
    """
    points = np.column_stack([x, y]).astype(float)
    left, right = points[~np.isnan(points).any(axis=1)].T
    interval = bootstrap(lambda rows: row_taus(left[rows], right[rows]), range(len(left)))
    if interval is None or interval.n < 3:
        return RankCorrelation(len(left))
    tau, p = map(float, stats.kendalltau(left, right))
    return RankCorrelation(len(left), tau, p, interval.low, interval.high)


def row_taus(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns tau-b [...] of each row of x and y [..., n]; NaN where a row is constant."""
    left, right = _signs(x), _signs(y)
    return _ratio(left * right, np.sqrt((left**2).sum((-2, -1)) * (right**2).sum((-2, -1))))


def kendall_within(x: Sequence[float], y: Sequence[float], kinds: Sequence[str]) -> Interval | None:
    """Returns Goodman and Kruskal's gamma over the pairs of points of one kind, with its percentile bootstrap.

    Without ties and with one kind it is Kendall's tau. None where no kind has two points.
    """
    left, right, labels = np.asarray(x), np.asarray(y), np.unique(kinds, return_inverse=True)[1]

    def gamma(rows: np.ndarray) -> np.ndarray:
        agreement = _signs(left[rows]) * _signs(right[rows]) * (_signs(labels[rows]) == 0)
        return _ratio(agreement, np.abs(agreement).sum((-2, -1)))

    return bootstrap(gamma, range(len(left)))


def _signs(values: np.ndarray) -> np.ndarray:
    """Returns signs [..., n, n] of the differences between the values [..., n] of each pair."""
    return np.sign(values[..., :, None] - values[..., None, :])


def _ratio(pairs: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Returns the sum over pairs [..., n, n] divided by ``below`` [...]; NaN where that is 0."""
    with np.errstate(invalid="ignore"):
        return np.asarray(pairs.sum((-2, -1)) / below)


def agreement(choices: pd.DataFrame) -> float | None:
    """Returns on which share of decisions (columns) two genotypes (rows) agree, in the mean over all pairs.

    None under two genotypes, or without a decision.
    """
    n = len(choices)
    if n < 2 or choices.empty:
        return None
    alike = choices.apply(lambda column: (column.value_counts() ** 2).sum() - n)  # ordered pairs
    return float(alike.mean() / (n * (n - 1)))


def best_of(scores: pd.DataFrame, m: int) -> float | None:
    """Returns the expected score of the best of ``m`` networks drawn without replacement.

    The best is picked by one retraining seed and scored by the others, over all seeds in turn: the luck that a network
    is picked for does not count. With one seed there is no such split, and the score is that of the pick itself.

    Args:
        scores: [network, retraining seed], lower is better; networks that lack a seed are left out.
    """
    scores = scores.dropna()
    n, seeds = scores.shape
    if not seeds or not 1 <= m <= n:
        return None
    # The r-th best (from 0) is the best of m draws where the other m - 1 come from those behind it.
    weights = [math.comb(n - 1 - rank, m - 1) / math.comb(n, m) for rank in range(n)]
    expected = []
    for seed in scores:
        outcomes = scores.sort_values(seed, kind="stable")
        expected.append(np.dot(weights, (outcomes.drop(columns=seed) if seeds > 1 else outcomes).mean(axis=1)))
    return float(np.mean(expected))


@dataclass(frozen=True)
class Spread:
    """Where retrained scores differ: ``seed_sd`` between retrainings of one genotype, ``genotype_sd`` between genotypes
    with that taken out, and ``reliability``, the share of the latter in the variance of a genotype's mean (the most
    that any score could explain of it, as a squared correlation)."""

    seed_sd: float
    genotype_sd: float
    reliability: float


def spread(scores: pd.DataFrame) -> Spread | None:
    """Returns one-way variance components; None under two genotypes or two seeds.

    Args:
        scores: [genotype, retraining seed]; genotypes that lack a seed are left out.
    """
    scores = scores.dropna()
    if min(scores.shape) < 2:
        return None
    within, total = float(scores.var(axis=1).mean()), float(scores.mean(axis=1).var())
    between = max(0.0, total - within / scores.shape[1])
    return Spread(math.sqrt(within), math.sqrt(between), between / total if total else 0.0)
