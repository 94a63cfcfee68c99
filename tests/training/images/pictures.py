"""Small images for tests of reading: random pixels, encoded, in folders and Parquet files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def picture(seed: int = 0, size: int = 16, mode: str = "RGB") -> Image.Image:
    shape = (size, size) if mode == "L" else (size, size, 3)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def folder(root: Path, classes: Sequence[str] = ("a", "b"), each: int = 4) -> Path:
    """Writes coloured images ``root/CLASS/m000.png``, all different."""
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index in range(each):
            picture(100 * number + index).save(root / name / f"m{index:03d}.png")
    return root


def table(file: Path, labels: Any = None, images: Any = None, column: str = "image", **labelled: Any) -> Path:
    """Writes a Parquet file of encoded images, with labels as a list or as an Arrow array.

    Args:
        images: Arrow array or list; None writes different coloured ones, one a label.
        labelled: further columns.
    """
    count = len(labels if labels is not None else images)
    if images is None:
        images = pa.array([encoded(picture(index)) for index in range(count)], pa.binary())
    columns = {column: images, **({} if labels is None else {"label": labels}), **labelled}
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), file)
    return file
