"""Random streams as pure functions of (seed, purpose, images shown): what a resumed run needs to go on exactly."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def stream_seed(seed: int, purpose: str, images_shown: int = 0) -> int:
    """A 63-bit seed; different purposes and positions give unrelated ones (NumPy's SeedSequence)."""
    mixed = np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), images_shown])
    return int(mixed.generate_state(1, np.uint64)[0] >> np.uint64(1))


def stream(seed: int, purpose: str, images_shown: int = 0) -> torch.Generator:
    """A CPU generator for one purpose at one position of a run."""
    return torch.Generator().manual_seed(stream_seed(seed, purpose, images_shown))


@contextmanager
def layer_noise(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, what layers draw from torch's global generators is a function of ``seed``; then these are as before.

    For networks with noise of their own (StyleGAN2's), whose layers have no other place to draw from.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
