"""Parts of a data set that are like the whole: drawn over all images, and over the classes by their shares."""

from __future__ import annotations

import numpy as np


def spread_sample(count: int, labels: np.ndarray | None, size: int | None, seed: int = 0) -> np.ndarray:
    """Draws ``size`` of ``count`` images; each class is in the sample by its share of the data, to within one image.

    Files are often sorted by class, so the first ones would be of one class. The sample is a function of the arguments.

    Args:
        labels: int64 [count], or None.
        size: None takes all.

    Returns:
        Sorted indices, int64 [size].
    """
    if size is None or size >= count:
        return np.arange(count)
    order = _by_class(count, labels, np.random.default_rng([seed, 0x5A39]))
    return np.sort(order[np.arange(size) * count // size])


def split_halves(count: int, labels: np.ndarray | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws two halves of a data set; both have each class, to within one image.

    Returns:
        Two disjoint sorted index arrays, int64, that cover 0 .. count-1 and differ in length by at most one.
    """
    order = _by_class(count, labels, np.random.default_rng([seed, 0x5717]))
    return np.sort(order[::2]), np.sort(order[1::2])


def _by_class(count: int, labels: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Returns all indices in random order, class after class: every n-th of them has an n-th of each class."""
    order = rng.permutation(count)
    return order if labels is None else order[np.argsort(labels[order], kind="stable")]
