"""A data set as one read-only block of images, and the two halves that a search learns from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autogan_ray.base.errors import DataError
from autogan_ray.config.sections import DataConfig, MetricsConfig
from autogan_ray.training.images.sampling import split_halves, spread_sample

if TYPE_CHECKING:
    from autogan_ray.training.images.sources import Request

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
        from autogan_ray.training.images.sources import described

        return described(self.name, len(self), self.image_size, self.channels, self._classes(), self.about)

    def _classes(self) -> str:
        if self.labels is None:
            return "no labels"
        sizes = np.bincount(self.labels, minlength=len(self.class_names))
        if len(sizes) == 1:
            return f"1 class ({self.class_names[0]})"
        if len(sizes) <= _FEW:
            named = ", ".join(f"{name} {size:,}" for name, size in zip(self.class_names, sizes, strict=True))
            return f"{len(sizes)} classes ({named})"
        return f"{len(sizes)} classes of {sizes.min():,} to {sizes.max():,} images"


def load_data(
    source: str,
    *,
    image_size: int | None = None,
    channels: int | None = None,
    root: Path | None = None,
    download: bool = True,
    limit: int | None = None,
    split: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
) -> ImageData:
    """Loads a data set by source: ``digits``, ``cifar10``, ``stl10``, ``imagefolder:DIR``, ``parquet:FILE_OR_DIR``.

    Images are decoded as a viewer shows them (:mod:`autogan_ray.training.images.decoding`). Labels of any kind become
    class numbers (:mod:`autogan_ray.training.images.class_labels`).

    Args:
        image_size: side in pixels; None takes the data's own (48 for stl10).
        channels: 1 or 3; None takes 3 where any image has colour.
        root: of downloaded sets; None takes :func:`autogan_ray.training.images.sources.data_root`.
        download: fetch what is missing (the driver may, a trial never).
        limit: take so many images, drawn over all of them and over the classes by their shares.
        split: of a folder or of shards: ``train``, ``validation``, ``test``, ``all``; None takes the training one.
        image_column, label_column: of Parquet files; None finds them, ``label_column="none"`` takes no labels.

    Raises:
        DataError: unknown source, missing, unreadable, undecodable, of another size than the first image, labels that
            are no classes or not there for each image, a split or a column that is not there.
    """
    from autogan_ray.training.images.sources import Request

    return read_data(Request(source, image_size, channels, root, download, limit, split, image_column, label_column))


def read_data(request: Request) -> ImageData:
    """Loads a data set as :func:`load_data` does."""
    from autogan_ray.training.images.sources import read

    loaded = read(request)
    data = ImageData.of(request.source, loaded.images, loaded.labels, loaded.class_names)
    taken = [f"{len(data):,} taken of {loaded.available:,}"] if len(data) < loaded.available else []
    return replace(data, about=(*taken, *loaded.about))


def request_of(data: DataConfig) -> Request:
    """Returns what section ``[data]`` of a study asks for."""
    from autogan_ray.training.images.sources import Request

    values = data.model_dump()
    return Request(**values | {"root": Path(data.root) if data.root else None})


def load_study_data(data: DataConfig, metrics: MetricsConfig, search_batch: int | None = None) -> ImageData:
    """Loads the images of a study and checks that they are enough; torch is imported for torchvision's sources alone.

    Args:
        search_batch: batch size of a search, which each half of the data must fill; None where no search will run.

    Raises DataError.
    """
    images = read_data(request_of(data))
    check_counts(data.source, len(images), metrics, search_batch)
    return images


def check_counts(source: str, count: int, metrics: MetricsConfig, search_batch: int | None) -> None:
    """Raises DataError where a study needs more images than the ``count`` of its data set."""
    if search_batch is not None:
        check_enough(source, count, search_batch, halves=True)
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
