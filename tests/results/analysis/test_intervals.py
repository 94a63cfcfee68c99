"""Intervals hold the truth as often as they say, and estimates are those of textbooks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from autogan_ray.results.analysis.intervals import geometric_mean, kendall_tau, log_ratio


def test_estimates_are_those_of_scipy() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = rng.lognormal(1, 0.3, 9), rng.lognormal(1.2, 0.2, 7)
    assert geometric_mean(ours).estimate == pytest.approx(stats.gmean(ours), rel=1e-12)
    found, expected = log_ratio(ours, theirs), stats.ttest_ind(np.log(ours), np.log(theirs), equal_var=False)
    ends = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((math.exp(ends.low), math.exp(ends.high)), rel=1e-9)
    assert found.estimate == pytest.approx(stats.gmean(ours) / stats.gmean(theirs), rel=1e-12)
    pairs = rng.integers(0, 6, (30, 2))  # with many ties
    assert kendall_tau(*pairs.T).estimate == pytest.approx(stats.kendalltau(*pairs.T).statistic, rel=1e-12)


def test_null_diverged_and_zero_scores_are_no_scores() -> None:
    assert geometric_mean([4.0, float("nan"), 9.0, float("inf"), 0.0]).estimate == pytest.approx(6.0)
    assert geometric_mean([4.0, None, 9.0]).n == 2  # type: ignore[list-item]
    tau = kendall_tau([1, 2, 3, float("nan")], [1, 2, 3, 0])
    assert tau.estimate == 1 and tau.n == 3 and math.isnan(tau.low)


@pytest.mark.parametrize("values", [[], [3.0], [3.0, 4.0]])
def test_too_few_values_have_no_interval(values: list[float]) -> None:
    found = geometric_mean(values)
    assert found.n == len(values) and math.isnan(found.low) and math.isnan(found.high)
    assert math.isnan(log_ratio(values[:1], [1.0, 2.0]).low)


def test_equal_scores_have_an_interval_without_width() -> None:
    assert log_ratio([3.0, 3.0], [1.5, 1.5]) == (2.0, 2.0, 2.0, 2)


def test_the_interval_of_a_ratio_holds_the_truth_in_95_of_100_worlds() -> None:
    rng, held, worlds = np.random.default_rng(2), 0, 2000
    for _ in range(worlds):
        found = log_ratio(rng.lognormal(0.0, 0.3, 3), rng.lognormal(math.log(1.25), 0.2, 8))
        held += found.low <= 1 / 1.25 <= found.high
    assert 0.93 <= held / worlds <= 0.97, held / worlds
