"""Intervals hold the truth as often as they say, and estimates are those of textbooks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from autogan_ray.metrics.diverged import DIVERGED_FID
from autogan_ray.results.analysis.intervals import geometric_mean, kendall_tau, log_ratio


def test_estimates_are_those_of_scipy() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = rng.lognormal(1, 0.3, 9), rng.lognormal(1.2, 0.2, 7)
    assert geometric_mean(ours).estimate == pytest.approx(stats.gmean(ours), rel=1e-12)
    found, expected = log_ratio(ours, theirs), stats.ttest_ind(np.log(ours), np.log(theirs), equal_var=False)
    ends = expected.confidence_interval(0.95)
    logs = np.log(ours)
    low, high = stats.t.interval(0.95, len(logs) - 1, logs.mean(), stats.sem(logs))
    assert geometric_mean(ours)[1:3] == pytest.approx((math.exp(low), math.exp(high)), rel=1e-9)
    assert (found.low, found.high) == pytest.approx((math.exp(ends.low), math.exp(ends.high)), rel=1e-9)
    assert found.estimate == pytest.approx(stats.gmean(ours) / stats.gmean(theirs), rel=1e-12)
    pairs = rng.integers(0, 6, (30, 2))  # with many ties
    assert kendall_tau(*pairs.T).estimate == pytest.approx(stats.kendalltau(*pairs.T).statistic, rel=1e-12)


def test_null_diverged_and_zero_scores_are_no_scores() -> None:
    assert geometric_mean([4.0, float("nan"), 9.0, float("inf"), 0.0, DIVERGED_FID]).estimate == pytest.approx(6.0)
    assert geometric_mean([4.0, None, 9.0]).n == 2  # type: ignore[list-item]
    tau = kendall_tau([1, 2, 3, float("nan"), DIVERGED_FID], [1, 2, 3, 0, 0])
    assert tau.estimate == 1 and tau.n == 3 and math.isnan(tau.low)


@pytest.mark.parametrize("values", [[], [3.0]])
def test_too_few_values_have_no_interval(values: list[float]) -> None:
    found = geometric_mean(values)
    assert found.n == len(values) and math.isnan(found.low) and math.isnan(found.high)
    assert math.isnan(log_ratio(values[:1], [1.0, 2.0]).low)


def test_equal_scores_have_an_interval_without_width() -> None:
    assert log_ratio([3.0, 3.0], [1.5, 1.5]) == (2.0, 2.0, 2.0, 2)


@pytest.mark.parametrize("count", [3, 4, 8])
def test_intervals_of_few_values_hold_the_truth_in_95_of_100_worlds(count: int) -> None:
    rng, worlds = np.random.default_rng(2), 2000
    means = [geometric_mean(rng.lognormal(0.0, 0.3, count)) for _ in range(worlds)]
    assert 0.935 <= sum(found.low <= 1 <= found.high for found in means) / worlds <= 0.965
    ratios = [log_ratio(rng.lognormal(0.0, 0.3, count), rng.lognormal(math.log(1.25), 0.2, 8)) for _ in range(worlds)]
    assert 0.93 <= sum(found.low <= 1 / 1.25 <= found.high for found in ratios) / worlds <= 0.97


@pytest.mark.parametrize(("count", "correlation"), [(5, 0.0), (8, 0.5), (12, 0.8)])
def test_the_interval_of_a_rank_correlation_holds_the_truth_in_95_of_100_worlds(count: int, correlation: float) -> None:
    rng, worlds, truth = np.random.default_rng(3), 2000, 2 / math.pi * math.asin(correlation)
    held = 0
    for _ in range(worlds):
        pairs = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], count)
        found = kendall_tau(*pairs.T)
        held += found.low <= truth <= found.high
    assert 0.93 <= held / worlds <= 0.995, held / worlds  # on the safe side where there are few


def test_five_pairs_in_order_prove_little() -> None:
    found = kendall_tau(range(5), range(5))
    assert found.estimate == 1 and found.low < 0.7
