"""Results that take long to compute, kept between studies in files named after what they were computed from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autogan_ray.base.files import replacing

Content = dict[str, Any]


def cached(name: str, key: str, make: Callable[[], Content], sound: Callable[[Content], bool] = bool) -> Content:
    """Returns what ``make`` returned for this key, now or at an earlier call; a damaged file is made again.

    The files lie in $AUTOGAN_RAY_CACHE, or else in the user's cache.

    Args:
        name: the beginning of the file's name.
        key: text of everything that decides the content.
        make: computes tensors and plain values by name.
        sound: whether a content that was read is as it was written.
    """
    import torch

    root = Path(os.environ.get("AUTOGAN_RAY_CACHE") or Path.home() / ".cache" / "autogan_ray")
    file = root / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:32]}.pt"
    try:
        content: Content = torch.load(file, weights_only=True)
        if sound(content):
            return content
    except Exception:  # the file is absent, or damaged: the reader of weights meets that with errors of every kind
        pass
    content = make()
    root.mkdir(parents=True, exist_ok=True)
    with replacing(file) as handle:
        torch.save(content, handle)
    return content
