"""The statistics of a comparison of search and random: intervals, rank correlations, agreement. Pure numbers.

Everything that resamples takes its generator's seed, so that a report printed twice says the same.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

DRAWS = 4000
_CHUNK = 250


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its interval; ends are None where ``n`` is too small for one."""

    value: float
    low: float | None
    high: float | None
    n: int


def mean_sd(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean, and sample standard deviation (n - 1); None where there are too few."""
    array = np.asarray(values, dtype=float)
    return (
        float(array.mean()) if len(array) else None,
        float(array.std(ddof=1)) if len(array) > 1 else None,
    )


def paired_interval(differences: Sequence[float], level: float = 0.95) -> Interval | None:
    """Student's interval for the mean of paired differences; None for no pair at all."""
    mean, sd = mean_sd(differences)
    if mean is None:
        return None
    n = len(differences)
    if sd is None:
        return Interval(mean, None, None, n)
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * sd / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def welch_interval(one: Sequence[float], other: Sequence[float], level: float = 0.95) -> Interval | None:
    """Interval for mean(one) - mean(other) of two independent samples of unequal variance; ``n`` counts both."""
    if not len(one) or not len(other):
        return None
    difference, n = float(np.mean(one) - np.mean(other)), len(one) + len(other)
    if min(len(one), len(other)) < 2:
        return Interval(difference, None, None, n)
    parts = [float(np.var(sample, ddof=1)) / len(sample) for sample in (one, other)]
    if sum(parts) == 0:
        return Interval(difference, difference, difference, n)
    below = sum(part**2 / (len(sample) - 1) for part, sample in zip(parts, (one, other), strict=True))
    half = float(stats.t.ppf((1 + level) / 2, sum(parts) ** 2 / below)) * math.sqrt(sum(parts))
    return Interval(difference, difference - half, difference + half, n)


def bootstrap_mean(values: Sequence[float], seed: int = 0, level: float = 0.95) -> Interval | None:
    """Percentile bootstrap of a mean. With ten values it is some 10 % narrower than Student's: read both."""
    array = np.asarray(values, dtype=float)
    if not len(array):
        return None
    rows = np.random.default_rng(seed).integers(len(array), size=(DRAWS, len(array)))
    return _percentiles(float(array.mean()), array[rows].mean(1), len(array), level)


def bootstrap_difference(
    one: Sequence[float], other: Sequence[float], seed: int = 0, level: float = 0.95
) -> Interval | None:
    """Percentile bootstrap of mean(one) - mean(other), both samples resampled independently."""
    if not len(one) or not len(other):
        return None
    rng = np.random.default_rng(seed)
    means = [
        np.asarray(sample, dtype=float)[rng.integers(len(sample), size=(DRAWS, len(sample)))].mean(1)
        for sample in (one, other)
    ]
    return _percentiles(float(np.mean(one) - np.mean(other)), means[0] - means[1], len(one) + len(other), level)


def kendall(x: Sequence[float], y: Sequence[float]) -> tuple[float, float] | None:
    """Kendall's tau-b and its p-value; None under three points, or where one side is constant."""
    if len(x) < 3:
        return None
    found = stats.kendalltau(x, y)
    return (float(found.statistic), float(found.pvalue)) if math.isfinite(found.statistic) else None


def bootstrap_kendall(
    x: Sequence[float], y: Sequence[float], seed: int = 0, level: float = 0.95
) -> tuple[float, float] | None:
    """Ends of the percentile bootstrap interval of tau-b over points; None where there is no tau.

    A point drawn twice is tied with itself on both sides, and tau-b takes such pairs out of its denominator.
    """
    if kendall(x, y) is None:
        return None
    left, right = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    rows = np.random.default_rng(seed).integers(len(left), size=(DRAWS, len(left)))
    taus = np.concatenate([row_taus(left[part], right[part]) for part in np.split(rows, DRAWS // _CHUNK)])
    taus = taus[np.isfinite(taus)]
    low, high = np.quantile(taus, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def row_taus(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Tau-b of each row of x and y [draws, n]; NaN where a row is constant."""
    sign_x, sign_y = (np.sign(side[:, :, None] - side[:, None, :]) for side in (x, y))
    below = np.sqrt((sign_x**2).sum((1, 2)) * (sign_y**2).sum((1, 2)))
    with np.errstate(invalid="ignore"):
        return np.asarray((sign_x * sign_y).sum((1, 2)) / below)


def kendall_within(
    x: Sequence[float], y: Sequence[float], kinds: Sequence[str], seed: int = 0, level: float = 0.95
) -> tuple[float, float, float] | None:
    """Goodman and Kruskal's gamma over the pairs of points of one kind, with the ends of its percentile bootstrap.

    Without ties and with one kind it is Kendall's tau. None where no kind has two points.
    """
    left, right = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    labels = np.unique(np.asarray(kinds), return_inverse=True)[1]

    def gamma(rows: np.ndarray) -> np.ndarray:
        signs = [np.sign(side[rows][:, :, None] - side[rows][:, None, :]) for side in (left, right)]
        alike = labels[rows][:, :, None] == labels[rows][:, None, :]
        agreement = signs[0] * signs[1] * alike
        with np.errstate(invalid="ignore"):
            return np.asarray(agreement.sum((1, 2)) / np.abs(agreement).sum((1, 2)))

    whole = float(gamma(np.arange(len(left))[None])[0]) if len(left) else math.nan
    if not math.isfinite(whole):
        return None
    rows = np.random.default_rng(seed).integers(len(left), size=(DRAWS, len(left)))
    draws = np.concatenate([gamma(part) for part in np.split(rows, DRAWS // _CHUNK)])
    low, high = np.quantile(draws[np.isfinite(draws)], [(1 - level) / 2, (1 + level) / 2])
    return whole, float(low), float(high)


def _percentiles(value: float, draws: np.ndarray, n: int, level: float) -> Interval:
    if n < 2:
        return Interval(value, None, None, n)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), n)


def agreement(genotypes: Sequence[Mapping[str, str]], network: str) -> float | None:
    """Mean over pairs of genotypes and over a network's decisions of whether both chose the same.

    Args:
        network: ``g`` or ``d``. None under two genotypes, or where the network has no decisions.
    """
    names = [name for name in genotypes[0] if name.startswith(f"{network}.")] if genotypes else []
    pairs = list(itertools.combinations(genotypes, 2))
    if not names or not pairs:
        return None
    return sum(one[name] == other[name] for one, other in pairs for name in names) / (len(pairs) * len(names))


def best_of(scores: Mapping[int, Mapping[int, float]], m: int) -> float | None:
    """Expected score of the best of ``m`` networks drawn without replacement.

    The best is picked by one retraining seed and scored by the others, over all seeds in turn: the luck that a network
    is picked for does not count. With one seed there is no such split, and the score is that of the pick itself.

    Args:
        scores: network -> retraining seed -> score, lower is better; networks that lack a seed are left out.
    """
    seeds = sorted({seed for row in scores.values() for seed in row})
    rows = [row for row in scores.values() if len(row) == len(seeds)]
    if not seeds or not 1 <= m <= len(rows):
        return None
    found = []
    for picks in seeds:
        others = [seed for seed in seeds if seed != picks] or [picks]
        outcomes = [float(np.mean([row[seed] for seed in others])) for row in sorted(rows, key=lambda one: one[picks])]
        # The r-th best (from 0) is the best of m draws where the other m - 1 come from those behind it.
        n = len(rows)
        weights = [math.comb(n - 1 - rank, m - 1) / math.comb(n, m) for rank in range(n)]
        found.append(sum(w * outcome for w, outcome in zip(weights, outcomes, strict=True)))
    return float(np.mean(found))


@dataclass(frozen=True)
class Spread:
    """Where retrained scores differ: ``seed_sd`` between retrainings of one genotype, ``genotype_sd`` between genotypes
    with that taken out, and ``reliability``, the share of the latter in the variance of a genotype's mean (the most
    that any score could explain of it, as a squared correlation)."""

    seed_sd: float
    genotype_sd: float
    reliability: float


def spread(scores: Sequence[Sequence[float]]) -> Spread | None:
    """One-way variance components; None under two genotypes or two seeds.

    Args:
        scores: one row a genotype, one column a retraining seed; rows of another length than the longest are left out.
    """
    width = max((len(row) for row in scores), default=0)
    rows = np.asarray([row for row in scores if len(row) == width], dtype=float)
    if width < 2 or len(rows) < 2:
        return None
    within = float(rows.var(axis=1, ddof=1).mean())
    total = float(rows.mean(axis=1).var(ddof=1))
    between = max(0.0, total - within / width)
    return Spread(math.sqrt(within), math.sqrt(between), between / total if total else 0.0)


def per_group(values: Sequence[float | None], how: Callable[[Sequence[float]], float]) -> float | None:
    """``how`` over what is there; None where nothing is."""
    there = [value for value in values if value is not None]
    return float(how(there)) if there else None
