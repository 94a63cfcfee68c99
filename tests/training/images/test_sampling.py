"""Samples and halves are like the whole: each class has its share in them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autogan_ray.training.images.sampling import split_halves, spread_sample

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=80).map(lambda labels: np.asarray(sorted(labels)))


@given(LABELS, st.integers(1, 90), st.integers(0, 5))
def test_a_sample_has_each_class_by_its_share_to_within_one(labels: np.ndarray, size: int, seed: int) -> None:
    sample = spread_sample(len(labels), labels, size, seed)
    assert len(sample) == min(size, len(labels)) == len(set(sample.tolist())) and (np.diff(sample) > 0).all()
    shares = np.bincount(labels) * len(sample) / len(labels)
    assert (np.abs(np.bincount(labels[sample], minlength=len(shares)) - shares) < 1).all()
    assert np.array_equal(sample, spread_sample(len(labels), labels, size, seed))


@given(LABELS, st.booleans(), st.integers(0, 5))
def test_halves_are_disjoint_cover_all_and_have_each_class(labels: np.ndarray, labelled: bool, seed: int) -> None:
    one, other = split_halves(len(labels), labels if labelled else None, seed)
    assert sorted([*one, *other]) == list(range(len(labels))) and abs(len(one) - len(other)) <= 1
    if labelled:
        counts = [np.bincount(labels[half], minlength=5) for half in (one, other)]
        assert np.abs(counts[0] - counts[1]).max() <= 1


@pytest.mark.parametrize("labels", [None, np.arange(100) % 3])
def test_a_sample_is_drawn_over_all_and_by_the_seed(labels: np.ndarray | None) -> None:
    sample = spread_sample(100, labels, 20)
    assert sample.min() < 30 and sample.max() > 70
    assert not np.array_equal(sample, spread_sample(100, labels, 20, seed=1))
    assert np.array_equal(spread_sample(100, labels, None), np.arange(100))
