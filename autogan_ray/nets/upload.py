"""Host to device without waiting."""

from __future__ import annotations

import torch
from torch import Tensor


def uploaded(x: Tensor, device: torch.device | str) -> Tensor:
    """``x`` on ``device``, behind all that was handed over before.

    A plain ``to`` waits until a GPU has done all of that, and the program cannot prepare what comes next meanwhile. Of
    ordinary memory CUDA takes a copy before this returns ("API synchronization behavior" in the manual of its runtime),
    so ``x`` may be written to afterwards; of pinned memory it would not.
    """
    return x.to(device, non_blocking=True)
