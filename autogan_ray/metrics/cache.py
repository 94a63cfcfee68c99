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

    Args:
        name: the beginning of the file's name.
        key: text of everything that decides the content.
        make: computes tensors and plain values by name.
    """
    file = cache_folder() / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:32]}.pt"
    content = read_sealed(file)
    if content is None:
        content = make()
        file.parent.mkdir(parents=True, exist_ok=True)
        write_sealed(file, content)
    return content


def write_sealed(file: Path, content: Content) -> None:
    """Writes tensors and plain values behind the sha256 of their bytes."""
    import torch

    buffer = io.BytesIO()
    torch.save(content, buffer)
    with replacing(file) as handle:
        handle.write(hashlib.sha256(buffer.getbuffer()).digest())
        handle.write(buffer.getbuffer())


def read_sealed(file: Path) -> Content | None:
    """Returns what :func:`write_sealed` wrote; None where the file is absent or not as it was written.

    Without the checksum altered numbers would be taken for the content: torch reads them without a word.
    """
    import torch

    try:
        written = memoryview(file.read_bytes())
        checksum, saved = written[:_CHECKSUM_BYTES], written[_CHECKSUM_BYTES:]
        if hashlib.sha256(saved).digest() == checksum:
            content: Content = torch.load(io.BytesIO(saved), weights_only=True)
            return content
    except Exception:  # the file is absent, or of a version of torch that this one cannot read: errors of every kind
        pass
    return None
