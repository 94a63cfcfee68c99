"""Batches on the device: the images lie there as bytes, so that a step neither waits for a loader nor for a bus."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from autogan_ray.nets.upload import uploaded
from autogan_ray.training.data import ImageData, gather

RESIDENT_BYTES = 4 * 2**30
"""Larger data sets stay in host memory, and each batch crosses over."""


class Feed:
    """Serves batches of a data set to one device.

    On the CPU nothing is copied but the batch: the images are Ray's shared memory, which all trials of a node read.
    """

    def __init__(self, data: ImageData, device: torch.device) -> None:
        self._data, self._device = data, device
        resident = device.type != "cpu" and data.images.nbytes <= RESIDENT_BYTES
        self._images = torch.from_numpy(data.images.copy()).to(device) if resident else None

    def batch(self, indices: np.ndarray) -> Tensor:
        """float32 [B, C, H, W] in [-1, 1] on the device."""
        if self._images is None:
            return uploaded(gather(self._data, indices), self._device)
        chosen = self._images[uploaded(torch.from_numpy(indices), self._device)]
        return chosen.float().div_(127.5).sub_(1.0)
