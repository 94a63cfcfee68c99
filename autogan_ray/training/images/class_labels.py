"""From whatever a data set calls its classes to class numbers: text, categories, ids, booleans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from autogan_ray.base.errors import DataError


def class_numbers(values: Sequence[Any], names: Sequence[str], where: str) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Numbers the classes of labels from 0 on.

    Classes are ordered as their labels are: ``["dog", "cat", "dog"]`` gives [1, 0, 1] and ("cat", "dog"), and the ids
    7, 300, 7 give [0, 1, 0] and ("7", "300").

    Args:
        values: one an image. None, NaN, an empty text and the number -1 mean that an image has no label.
        names: of the classes 0, 1, ..., where the data set names them; else their labels are their names.
        where: the column, for messages.

    Returns:
        int64 [N] and the names of the classes; None and no names where no image has a label.

    Raises:
        DataError: labels that are no classes, such as fractions or lists; of several types; or only for some images.
    """
    cleaned = [_cleaned(value, where) for value in values]
    labels = {label for label in cleaned if label is not None}
    unlabelled = cleaned.count(None)
    if unlabelled == len(cleaned):
        return None, ()
    if unlabelled:
        raise DataError(
            f"{where} has no label (null or -1) for {unlabelled:,} of {len(cleaned):,} images; leave these out, or set "
            "data.label_column to 'none' to use no labels"
        )
    types = sorted({type(label).__name__ for label in labels})
    if len(types) > 1:
        raise DataError(f"{where} holds labels of several types ({', '.join(types)}); one type is wanted")
    ordered = sorted(labels)
    if names and all(isinstance(label, int) and 0 <= label < len(names) for label in ordered):
        ordered, called = list(range(len(names))), tuple(names)
    else:
        called = tuple(str(label) for label in ordered)
    numbers = {label: number for number, label in enumerate(ordered)}
    return np.asarray([numbers[label] for label in cleaned if label is not None], np.int64), called


def _cleaned(value: Any, where: str) -> int | str | None:
    """Returns a label as a whole number or a text; None where it says that there is no label."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return value or None
    if isinstance(value, int | float | Decimal):
        if not math.isfinite(value) or value != int(value):
            raise DataError(
                f"{where} holds {value}, which is no class; whole numbers, text or booleans are wanted; give the "
                "column of the classes by data.label_column, or 'none' to use no labels"
            )
        return None if value == -1 else int(value)
    raise DataError(
        f"{where} holds {type(value).__name__} ({str(value)[:40]}), which is no class; whole numbers, text or booleans "
        "are wanted; give the column of the classes by data.label_column, or 'none' to use no labels"
    )
