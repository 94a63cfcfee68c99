"""A data set as one read-only block of images, and the two halves that a search learns from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autogan_ray.base.errors import DataError
from autogan_ray.config.sections import FEWEST_REAL, DataConfig, MetricsConfig
from autogan_ray.training.images.sampling import split_halves, spread_sample
from autogan_ray.training.images.sources import check_settings, described, read

_FEW = 12
"""Classes that are named one by one in a line about the data."""


@dataclass(frozen=True)
class ImageData:
    """A data set in memory. It is made through :meth:`of`, which checks and freezes it.

    Args:
        name: the source, as the study names it.
        images: uint8 [N, C, H, W], C 1 or 3, H = W, not writable: all trials of a node read one copy.
        labels: int64 [N], from 0 on, or None.
        digest: sha256 over shape, images and labels.
        class_names: of the classes 0, 1, ...; empty without labels.
        about: what a user should know of the reading, such as what was left out.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray | None
    digest: str
    class_names: tuple[str, ...] = ()
    about: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, name: str, images: np.ndarray, labels: np.ndarray | None = None, class_names: Sequence[str] = ()
    ) -> ImageData:
        """Raises DataError unless images are square uint8 of 1 or 3 channels with as many labels.

        Args:
            class_names: None are given where classes are called by their numbers.
        """
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
        if labels is not None and not class_names:
            class_names = [str(number) for number in range(int(labels.max()) + 1)]
        return cls(name, images, labels, digest.hexdigest(), tuple(class_names))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_size(self) -> int:
        """Side in pixels."""
        return int(self.images.shape[2])

    @property
    def channels(self) -> int:
        return int(self.images.shape[1])

    @property
    def classes(self) -> int:
        """How many classes there are images of; 0 without labels."""
        return 0 if self.labels is None else len(np.unique(self.labels))

    def halves(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns two halves drawn by a seed, as sorted indices; both have each class, to within one image."""
        return split_halves(len(self), self.labels, seed)

    def sample(self, size: int | None) -> np.ndarray:
        """Returns sorted indices of a sample, always the same, in which each class has its share; None takes all."""
        return spread_sample(len(self), self.labels, size)

    def described(self) -> str:
        """Returns the data set in one line: count, side, channels, classes with their sizes, what was left out."""
        return described(self.name, len(self), self.image_size, self.channels, self._classes(), self.about)

    def _classes(self) -> str:
        if self.labels is None:
            return "no labels"
        sizes = np.bincount(self.labels, minlength=len(self.class_names))
        if len(sizes) == 1:
            return f"1 class ({self.class_names[0]})"
        if len(sizes) <= _FEW:
            named = ", ".join(f"{name}: {size:,}" for name, size in zip(self.class_names, sizes, strict=True))
            return f"{len(sizes)} classes ({named})"
        return f"{len(sizes)} classes of {sizes.min():,} to {sizes.max():,} images"


def load_data(data: DataConfig | str, download: bool = True, **settings: Any) -> ImageData:
    """Loads a data set; torch is imported for torchvision's sources alone.

    Images are decoded as a viewer shows them (:mod:`autogan_ray.training.images.decoding`). Labels of any kind become
    class numbers (:mod:`autogan_ray.training.images.class_labels`).

    Args:
        data: section ``[data]`` of a study, or a source alone: ``digits``, ``cifar10``, ``stl10``, ``imagefolder:DIR``
            or ``parquet:FILE_OR_DIR``.
        download: whether what is missing is fetched (the driver may, a trial never).
        settings: beside a source alone, other settings of that section.

    Raises:
        DataError: unknown source, missing, unreadable, undecodable, of another size than the first image, labels that
            are no classes or not there for each image, a split or a column that is not there, or one of the
            ``settings`` that the source does not read.
    """
    if isinstance(data, str):
        data = DataConfig.parse({"source": data, **settings}, "data", DataError)
        check_settings(data)
    loaded = read(data, download)
    images = ImageData.of(data.source, loaded.images, loaded.labels, loaded.class_names)
    taken = [f"{len(images):,} taken of {loaded.available:,}"] if len(images) < loaded.available else []
    return replace(images, about=(*taken, *loaded.about))


def load_study_data(data: DataConfig, metrics: MetricsConfig, search_batch: int | None = None) -> ImageData:
    """Loads the images of a study and checks that they are enough.

    Args:
        search_batch: batch size of a search, which each half of the data must fill; None where no search will run.

    Raises DataError.
    """
    images = load_data(data)
    check_counts(data.source, len(images), metrics, search_batch)
    return images


def check_counts(source: str, count: int, metrics: MetricsConfig, search_batch: int | None) -> None:
    """Raises DataError where a study needs more images than the ``count`` of its data set."""
    if search_batch is not None:
        check_enough(source, count, search_batch, halves=True)
    if count < FEWEST_REAL:
        raise DataError(
            f"data {source!r} has {count} images; scores need at least {FEWEST_REAL}, as precision and recall look "
            "at the 3 nearest neighbours of each; give more images"
        )
    if (metrics.n_real or 0) > count:
        raise DataError(f"metrics.n_real = {metrics.n_real}, but data {source!r} has {count} images")


def check_enough(source: str, count: int, batch_size: int, halves: bool) -> None:
    """Raises DataError where ``count`` images, or with ``halves`` half of them, cannot fill one batch."""
    there = count // 2 if halves else count
    if there < batch_size:
        part = "each half of it has" if halves else "it has"
        raise DataError(
            f"data {source!r} has {count} images, {part} {there}: fewer than one batch of {batch_size}; lower "
            f"the batch size to at most {max(there, 1)}, or give more images"
        )
