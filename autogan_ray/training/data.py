"""Images as one read-only block, the two halves a search learns from, and batches as pure functions of position."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autogan_ray.base.errors import DataError
from autogan_ray.config.sections import DataConfig, MetricsConfig

if TYPE_CHECKING:  # listing verbs read this module's names without paying for torch
    from torch import Tensor


@dataclass(frozen=True)
class ImageData:
    """A data set in memory. Make one through :meth:`of`, which checks and freezes.

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
        """Raises DataError for anything but square uint8 images of 1 or 3 channels with as many labels."""
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


def load_data(
    source: str,
    *,
    image_size: int | None = None,
    channels: int | None = None,
    root: Path | None = None,
    download: bool = True,
    limit: int | None = None,
) -> ImageData:
    """A data set by source: ``digits``, ``cifar10``, ``stl10``, ``imagefolder:DIR``, ``parquet:FILE_OR_DIR``.

    Args:
        image_size: side in pixels; None takes the data's own (48 for stl10).
        channels: 1 or 3; None follows the data.
        root: of downloaded sets; None takes :func:`autogan_ray.training.sources.data_root`.
        download: fetch what is missing (the driver may, a trial never).
        limit: take the first so many images.

    Raises:
        DataError: unknown source, missing, unreadable, undecodable, or of another size than the first image.
    """
    from autogan_ray.training.sources import read_source

    images, labels = read_source(source, image_size, channels, root, download, limit)
    return ImageData.of(source, images, labels)


def load_study_data(data: DataConfig, metrics: MetricsConfig, search_batch: int | None = None) -> ImageData:
    """The images of a study, checked for being enough; imports no torch where the source is none of torchvision's.

    Args:
        search_batch: batch size of a search, which each half of the data must fill; None where none will be run.

    Raises DataError.
    """
    images = load_data(
        data.source,
        image_size=data.image_size,
        channels=data.channels,
        root=Path(data.root) if data.root else None,
        limit=data.limit,
    )
    if search_batch is not None:
        check_enough(images, search_batch, halves=True)
    if (metrics.n_real or 0) > len(images):
        raise DataError(f"metrics.n_real = {metrics.n_real}, but data {images.name!r} has {len(images)} images")
    return images


def check_enough(data: ImageData, batch_size: int, halves: bool) -> None:
    """Raises DataError where the data, or half of it, cannot fill one batch."""
    there = len(data) // 2 if halves else len(data)
    if there < batch_size:
        part = "each half of it has" if halves else "it has"
        raise DataError(
            f"data {data.name!r} has {len(data)} images, {part} {there}: fewer than one batch of {batch_size}; lower "
            f"the batch size to at most {max(there, 1)}, or give more images"
        )


def split_halves(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two disjoint sorted index arrays, int64, that cover 0 .. count-1 and differ in length by at most one."""
    order = np.random.default_rng([seed, 0x5717]).permutation(count)
    middle = (count + 1) // 2
    return np.sort(order[:middle]), np.sort(order[middle:])


class BatchStream:
    """Endless epochs, each a fresh permutation; what comes at a position depends on (seed, position) alone.

    Args:
        indices: of the images to draw from.
        batch_size: images a batch; a batch may straddle two epochs.
        seed: of the permutations.
    """

    def __init__(self, indices: np.ndarray, batch_size: int, seed: int) -> None:
        self._indices, self._batch_size, self._seed = indices, batch_size, seed
        self._cached: tuple[int, np.ndarray] = (-1, indices)

    def indices_at(self, images_shown: int) -> np.ndarray:
        """int64 [batch_size]: the images at positions images_shown .. images_shown + batch_size - 1."""
        parts, position, wanted = [], images_shown, self._batch_size
        while wanted > 0:
            epoch, offset = divmod(position, len(self._indices))
            piece = self._epoch(epoch)[offset : offset + wanted]
            parts.append(piece)
            position, wanted = position + len(piece), wanted - len(piece)
        return np.concatenate(parts)

    def _epoch(self, epoch: int) -> np.ndarray:
        if self._cached[0] != epoch:
            order = np.random.default_rng([self._seed, epoch]).permutation(len(self._indices))
            self._cached = (epoch, self._indices[order])
        return self._cached[1]


def gather(data: ImageData, indices: np.ndarray) -> Tensor:
    """float32 [B, C, H, W] in [-1, 1], a copy.

    The copy is the point: ``torch.from_numpy`` would make Ray's shared read-only memory writable, and one trial's
    in-place operation would corrupt the images of all.
    """
    import torch

    return torch.from_numpy(data.images[indices]).float().div_(127.5).sub_(1.0)


def to_uint8(images: Tensor) -> Tensor:
    """[-1, 1] to uint8 by rounding; the exact inverse of :func:`gather`."""
    import torch

    return images.add(1.0).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
