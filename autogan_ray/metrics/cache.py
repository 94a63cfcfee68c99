"""Results that take long to compute, kept between studies in files named after what they were computed from."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autogan_ray.base.files import replacing

Content = dict[str, Any]

_CHECKSUM_BYTES = hashlib.sha256().digest_size


def cache_folder() -> Path:
    """Returns the folder of all these files: $AUTOGAN_RAY_CACHE, or else one in the user's cache."""
    return Path(os.environ.get("AUTOGAN_RAY_CACHE") or Path.home() / ".cache" / "autogan_ray")


def cached(name: str, key: str, make: Callable[[], Content]) -> Content:
    """Returns what ``make`` returned for this key, now or at an earlier call; a damaged file is made again.

    A file begins with the sha256 of the rest: torch reads altered numbers without a word.

    Args:
        name: the beginning of the file's name.
        key: text of everything that decides the content.
        make: computes tensors and plain values by name.
    """
    import torch

    file = cache_folder() / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:32]}.pt"
    try:
        written = memoryview(file.read_bytes())
        checksum, saved = written[:_CHECKSUM_BYTES], written[_CHECKSUM_BYTES:]
        if hashlib.sha256(saved).digest() == checksum:
            content: Content = torch.load(io.BytesIO(saved), weights_only=True)
            return content
    except Exception:  # the file is absent, or of a version of torch that this one cannot read: errors of every kind
        pass
    content = make()
    buffer = io.BytesIO()
    torch.save(content, buffer)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as handle:
        handle.write(hashlib.sha256(buffer.getbuffer()).digest())
        handle.write(buffer.getbuffer())
    return content
