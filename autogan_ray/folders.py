"""Folders that are written to later: asked before anything costs time."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from autogan_ray.errors import ConfigError


def check_writable(folder: Path, asked: str) -> None:
    """See that a folder can be made, with those above it, and files in it; nothing is left of that.

    Args:
        asked: what named it, such as ``--out``, for the message.

    Raises ConfigError with the system's reason.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"{asked}: nothing can be written to {str(folder)!r} ({error.strerror}); choose another folder"
        ) from error
    finally:
        with suppress(OSError):  # where it was not made, or somebody uses it already
            for place in made:
                place.rmdir()
