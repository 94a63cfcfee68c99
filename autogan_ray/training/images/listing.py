"""What a folder or a Parquet data set holds, before any image is decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autogan_ray.base.errors import DataError, nearest

SPLITS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev", "eval"),
    "test": ("test", "testing"),
    "unlabeled": ("unlabeled", "unlabelled"),
}
"""Split -> what folders and shards of it are called."""


@dataclass(frozen=True)
class Listing:
    """The images of a data set, not decoded yet.

    Args:
        count: N, images there are.
        labels: one an image, as the data set has them; None where it has none.
        encoded: given sorted indices int64 [n] of images, yields (name for messages, encoded bytes) of each.
        class_names: of the classes 0, 1, ..., where the data set names them.
        label_place: the column or folder that the labels come from, for messages.
        left_out: why files were left out -> how many.
        remark: why there are no labels, where some could be expected.
    """

    count: int
    labels: Sequence[Any] | None
    encoded: Callable[[np.ndarray], Iterator[tuple[str, bytes]]]
    class_names: Sequence[str] = ()
    label_place: str = ""
    left_out: Counter[str] = field(default_factory=Counter)
    remark: str = ""


def split_named(name: str) -> str | None:
    """Returns the split that a folder or shard belongs to by its name; None for a name that is none."""
    return next((split for split, names in SPLITS.items() if name.casefold() in names), None)


def chosen_split(there: Sequence[str | None], asked: str | None, source: str) -> str | None:
    """Decides which split of a data set is used.

    Args:
        there: the split of each folder or shard, None for one that belongs to none.
        asked: ``data.split``: a split, ``all``, or None, which takes the training one.

    Returns:
        The split; None where the data set has no splits, or all are used.

    Raises:
        DataError: the split is not there, or it is not clear which one is meant.
    """
    splits = sorted({split for split in there if split is not None})
    if asked == "all":
        return None
    if asked is not None:
        if split_named(asked) not in splits:
            known = ", ".join(splits) if splits else "none"
            raise DataError(f"data.split = {asked!r}: data {source!r} has no such split; its splits: {known}")
        return split_named(asked)
    if not splits:
        return None
    if None in there:
        raise DataError(
            f"data {source!r}: some of it belongs to splits ({', '.join(splits)}), some to none; set data.split to one "
            "of them, or to 'all'"
        )
    if "train" not in splits:
        raise DataError(
            f"data {source!r} has no training split, only {', '.join(splits)}; set data.split to one of them or 'all'"
        )
    return "train"


def check_split(asked: str | None) -> None:
    """Raises DataError for a ``data.split`` that is the name of no split."""
    if asked is not None and asked != "all" and split_named(asked) is None:
        raise DataError(f"data.split = {asked!r} is no split; {nearest(asked, [*SPLITS, 'all'])}")
