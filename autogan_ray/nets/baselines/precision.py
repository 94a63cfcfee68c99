"""The precision of a discriminator's head: eight significant bits would round away what tells two images apart."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def at_full_precision(head: Callable[[Tensor], Tensor], features: Tensor) -> Tensor:
    """Returns what a head makes of features, in float32 where autocast has computed these in fewer bits."""
    kind = features.device.type
    if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):  # "meta" knows no autocast
        return head(features)
    with torch.autocast(kind, enabled=False):
        return head(features.float())
