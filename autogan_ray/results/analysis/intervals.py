"""Means, ratios and rank correlations of scores, each with a 95 % interval.

Frechet distances are compared on the log scale: what a setting does to them is a factor, and their spread grows with
them. Their mean is the geometric one. Intervals are Student's, Welch's and Fieller's: a bootstrap of a handful of
values is too narrow (of three lognormal values its interval holds the mean in 76 of 100 cases).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from autogan_ray.metrics.diverged import DIVERGED_FID

LEVEL = 0.95


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
    """Returns the finite values above 0, float64; a score that is null, or that stands for divergence, is none."""
    array = np.asarray(values, dtype=float)
    return array[np.isfinite(array) & (array > 0) & (array < DIVERGED_FID)]


def _exp(log: float) -> float:
    """The number of a logarithm; an interval of two values that lie far apart can end beyond all numbers."""
    return math.exp(min(log, 700.0))


def geometric_mean(values: Sequence[float]) -> Interval:
    """Returns the geometric mean with Student's interval on the log scale; NaN ends below two values."""
    from scipy import stats

    logs = np.log(finite_values(values))
    if not len(logs):
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(logs.mean())
    if len(logs) < 2:
        return Interval(_exp(mean), math.nan, math.nan, 1)
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, len(logs) - 1) * logs.std(ddof=1) / math.sqrt(len(logs)))
    return Interval(_exp(mean), _exp(mean - reach), _exp(mean + reach), len(logs))


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
        return Interval(_exp(difference), math.nan, math.nan, count)
    parts = one.var(ddof=1) / len(one), other.var(ddof=1) / len(other)
    error = math.sqrt(sum(parts))
    if error == 0:
        return Interval(_exp(difference), _exp(difference), _exp(difference), count)
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (len(one) - 1) + parts[1] ** 2 / (len(other) - 1))
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, freedom)) * error
    return Interval(_exp(difference), _exp(difference - reach), _exp(difference + reach), count)


def kendall_tau(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """Returns Kendall's tau-b of pairs of values, from -1 to 1, with its interval by Fisher's transformation.

    The variance of atanh(tau) is .437 / (n - 4) (Fieller, Hartley and Pearson 1957). Pairs with a value that is not
    finite are left out. NaN below two pairs; NaN ends below five.
    """
    pairs = np.array([ours, theirs], dtype=float).T.reshape(-1, 2)
    pairs = pairs[np.isfinite(pairs).all(axis=1) & (pairs < DIVERGED_FID).all(axis=1)]
    count = len(pairs)
    tau = _tau(pairs) if count > 1 else math.nan
    if count < 5 or math.isnan(tau):
        return Interval(tau, math.nan, math.nan, count)
    # A perfect order would have no interval: half a pair out of order is within what so few pairs can tell.
    kept = 1 - 1 / (count * (count - 1))
    centre = math.atanh(max(-kept, min(kept, tau)))
    reach = NormalDist().inv_cdf(0.5 + LEVEL / 2) * math.sqrt(0.437 / (count - 4))
    return Interval(tau, min(tau, math.tanh(centre - reach)), max(tau, math.tanh(centre + reach)), count)


def _tau(pairs: np.ndarray) -> float:
    """Tau-b by its definition; NaN where all are tied."""
    signs = [np.sign(column[:, None] - column[None, :]) for column in pairs.T]
    norm = math.sqrt((signs[0] ** 2).sum() * (signs[1] ** 2).sum())
    return float((signs[0] * signs[1]).sum() / norm) if norm else math.nan
