"""A data set as one read-only block of images, and the two halves that a search learns from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from autogan_ray.base.errors import DataError
from autogan_ray.config.sections import DataConfig, MetricsConfig
from autogan_ray.training.sources import read_source


@dataclass(frozen=True)
class ImageData:
    """A data set in memory. It is made through :meth:`of`, which checks and freezes it.

    Args:
        name: the source, as the study names it.
        images: uint8 [N, C, H, W], C 1 or 3, H = W, not writable: all trials of a node read one copy.
        labels: int64 [N], or None.
        digest: sha256 over shape, images and labels.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray | None
    digest: str

    @classmethod
    def of(cls, name: str, images: np.ndarray, labels: np.ndarray | None = None) -> ImageData:
        """Raises DataError unless images are square uint8 of 1 or 3 channels with as many labels."""
        if images.dtype != np.uint8 or images.ndim != 4:
            raise DataError(f"data {name!r}: {images.dtype} of shape {images.shape}; images are uint8 [N, C, H, W]")
        count, channels, height, width = images.shape
        if count < 1:
            raise DataError(f"data {name!r} has no images")
        if height != width or channels not in (1, 3):
            raise DataError(
                f"data {name!r}: images of {channels} channels, {width}x{height} px; they are square, with 1 or 3"
            )
        if labels is not None and len(labels) != count:
            raise DataError(f"data {name!r}: {count} images but {len(labels)} labels")
        images = np.ascontiguousarray(images)
        digest = hashlib.sha256(repr(images.shape).encode())
        digest.update(images.data)
        if labels is not None:
            labels = np.ascontiguousarray(labels, dtype=np.int64)
            digest.update(labels.data)
            labels.setflags(write=False)
        images.setflags(write=False)
        return cls(name, images, labels, digest.hexdigest())

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_size(self) -> int:
        """Side in pixels."""
        return int(self.images.shape[2])

    @property
    def channels(self) -> int:
        return int(self.images.shape[1])


def load_data(data: DataConfig, download: bool = True) -> ImageData:
    """Loads the data set that a section ``[data]`` names; torch is imported for torchvision's sources alone.

    Args:
        download: whether what is missing is fetched.

    Raises:
        DataError: unknown source, missing, unreadable, undecodable, or of another size than the first image.
    """
    return ImageData.of(data.source, *read_source(data, download))


def load_study_data(data: DataConfig, metrics: MetricsConfig, search_batch: int | None = None) -> ImageData:
    """Loads the images of a study and checks that they are enough.

    Args:
        search_batch: batch size of a search, which each half of the data must fill; None where no search will run.

    Raises DataError.
    """
    images = load_data(data)
    if search_batch is not None:
        check_enough(images, search_batch, halves=True)
    if (metrics.n_real or 0) > len(images):
        raise DataError(f"metrics.n_real = {metrics.n_real}, but data {images.name!r} has {len(images)} images")
    return images


def check_enough(data: ImageData, batch_size: int, halves: bool) -> None:
    """Raises DataError where the data, or with ``halves`` half of it, cannot fill one batch."""
    there = len(data) // 2 if halves else len(data)
    if there < batch_size:
        part = "each half of it has" if halves else "it has"
        raise DataError(
            f"data {data.name!r} has {len(data)} images, {part} {there}: fewer than one batch of {batch_size}; lower "
            f"the batch size to at most {max(there, 1)}, or give more images"
        )


def split_halves(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns two disjoint sorted index arrays, int64, that cover 0 .. count-1 and differ in length by at most one."""
    order = np.random.default_rng([seed, 0x5717]).permutation(count)
    middle = (count + 1) // 2
    return np.sort(order[:middle]), np.sort(order[middle:])
