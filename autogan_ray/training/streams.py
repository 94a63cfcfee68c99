"""Random numbers and batches as pure functions of (seed, purpose, images shown): a resumed run goes on exactly."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from autogan_ray.nets.upload import uploaded
from autogan_ray.training.data import ImageData

RESIDENT_BYTES = 4 * 2**30
"""Larger data sets stay in host memory, and each batch is copied to the device."""


def stream_seed(seed: int, purpose: str, images_shown: int = 0) -> int:
    """Returns a 63-bit seed; different purposes and positions give unrelated seeds (NumPy's SeedSequence)."""
    mixed = np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), images_shown])
    return int(mixed.generate_state(1, np.uint64)[0] >> np.uint64(1))


def stream(seed: int, purpose: str, images_shown: int = 0) -> torch.Generator:
    """Returns a CPU generator for one purpose at one position of a run."""
    return torch.Generator().manual_seed(stream_seed(seed, purpose, images_shown))


@contextmanager
def layer_noise(seed: int, device: torch.device) -> Iterator[None]:
    """Makes what layers draw from torch's global generators a function of ``seed`` while the block runs.

    Networks with noise of their own need it (StyleGAN2), as their layers have no other generator to draw from. After
    the block the global generators are as before.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


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
        """Returns int64 [batch_size]: the images at positions images_shown .. images_shown + batch_size - 1."""
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


class Feed:
    """Serves batches of a data set to one device.

    On a GPU the images lie in its memory as bytes, so that a step waits neither for a loader nor for a bus. On the CPU
    nothing is copied but the batch: the images are Ray's shared memory, which all trials of a node read.
    """

    def __init__(self, data: ImageData, device: torch.device) -> None:
        self._data, self._device = data, device
        resident = device.type != "cpu" and data.images.nbytes <= RESIDENT_BYTES
        self._images = torch.from_numpy(data.images.copy()).to(device) if resident else None

    def batch(self, indices: np.ndarray) -> Tensor:
        """Returns the images at these indices on the device, float32 [B, C, H, W] in [-1, 1]."""
        if self._images is None:
            return uploaded(gather(self._data, indices), self._device)
        chosen = self._images[uploaded(torch.from_numpy(indices), self._device)]
        return chosen.float().div_(127.5).sub_(1.0)


def gather(data: ImageData, indices: np.ndarray) -> Tensor:
    """Returns the images at these indices as float32 [B, C, H, W] in [-1, 1], a copy.

    The copy is the point: ``torch.from_numpy`` would make Ray's shared read-only memory writable, and one trial's
    in-place operation would corrupt the images of all.
    """
    return torch.from_numpy(data.images[indices]).float().div_(127.5).sub_(1.0)


def to_uint8(images: Tensor) -> Tensor:
    """Rounds images in [-1, 1] to uint8; the exact inverse of :func:`gather`."""
    return images.add(1.0).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
