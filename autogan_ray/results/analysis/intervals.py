"""Means, ratios and rank correlations of scores, each with an interval that holds the true value in 95 of 100 cases.

Frechet distances are compared on the log scale: what a setting does to them is a factor, and their spread grows with
them. Their mean is the geometric one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

LEVEL = 0.95
DRAWS = 2000
"""Samples of a bootstrap."""


class Interval(NamedTuple):
    """An estimate with the ends of its 95 % interval, which are NaN where too few values were there to give one.

    Args:
        n: number of values behind it.
    """

    estimate: float
    low: float
    high: float
    n: int


def finite_values(values: Sequence[float]) -> np.ndarray:
    """Returns the finite values above 0, float64; a score that is null, or that diverged, is none."""
    array = np.asarray(values, dtype=float)
    return array[np.isfinite(array) & (array > 0)]


def geometric_mean(values: Sequence[float], seed: int = 0) -> Interval:
    """Returns the geometric mean with its percentile bootstrap interval (Efron 1979); NaN ends below three values."""
    logs = np.log(finite_values(values))
    if not len(logs):
        return Interval(math.nan, math.nan, math.nan, 0)
    low, high = _bootstrap(len(logs), lambda rows: logs[rows].mean(axis=-1), seed) if len(logs) > 2 else (math.nan,) * 2
    return Interval(math.exp(logs.mean()), math.exp(low), math.exp(high), len(logs))


def log_ratio(values: Sequence[float], others: Sequence[float]) -> Interval:
    """Returns the ratio of two geometric means with the interval of Welch's t test on the log scale.

    The ends are NaN where either side has fewer than two values.
    """
    from scipy import stats

    one, other = np.log(finite_values(values)), np.log(finite_values(others))
    count = min(len(one), len(other))
    if count == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    difference = float(one.mean() - other.mean())
    if count < 2:
        return Interval(math.exp(difference), math.nan, math.nan, count)
    parts = one.var(ddof=1) / len(one), other.var(ddof=1) / len(other)
    error = math.sqrt(sum(parts))
    if error == 0:
        return Interval(math.exp(difference), math.exp(difference), math.exp(difference), count)
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (len(one) - 1) + parts[1] ** 2 / (len(other) - 1))
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, freedom)) * error
    return Interval(math.exp(difference), math.exp(difference - reach), math.exp(difference + reach), count)


def kendall_tau(ours: Sequence[float], theirs: Sequence[float], seed: int = 0) -> Interval:
    """Returns Kendall's tau-b of pairs of values, from -1 to 1, with its percentile bootstrap interval over the pairs.

    Pairs with a value that is not finite are left out. NaN below two pairs; NaN ends below five.
    """
    pairs = np.array([ours, theirs], dtype=float).T.reshape(-1, 2)
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    tau = _tau(pairs) if len(pairs) > 1 else math.nan
    if len(pairs) < 5:
        return Interval(tau, math.nan, math.nan, len(pairs))
    low, high = _bootstrap(len(pairs), lambda rows: np.array([_tau(pairs[row]) for row in rows]), seed)
    return Interval(tau, low, high, len(pairs))


def _tau(pairs: np.ndarray) -> float:
    """Tau-b by its definition; draws of a bootstrap repeat pairs, and ties are part of it. NaN where all are tied."""
    signs = [np.sign(column[:, None] - column[None, :]) for column in pairs.T]
    norm = math.sqrt((signs[0] ** 2).sum() * (signs[1] ** 2).sum())
    return float((signs[0] * signs[1]).sum() / norm) if norm else math.nan


def _bootstrap(count: int, statistic: Callable[[np.ndarray], np.ndarray], seed: int) -> tuple[float, float]:
    """Returns the ends of the percentile interval of a statistic of resampled rows.

    Args:
        statistic: indices [DRAWS, count] -> values [DRAWS].
    """
    rows = np.random.default_rng(seed).integers(0, count, (DRAWS, count))
    low, high = np.nanquantile(statistic(rows), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
