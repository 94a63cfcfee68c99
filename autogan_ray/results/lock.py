"""Who runs a study: one process holds its folder at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autogan_ray.base.errors import ResultsError


@contextmanager
def sole_driver(folder: Path) -> Iterator[None]:
    """Holds a study's folder; the hold ends with the process, however it ends.

    Raises ResultsError where another process holds it: two would write the same logs.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ResultsError(
                f"{folder}: another process is running this study; wait for its end, or stop it and use --resume"
            ) from None
        except OSError:
            pass  # a file system that has no such locks
        yield
    finally:
        os.close(handle)


def is_held(folder: Path) -> bool:
    """Whether a process of this machine runs the study; also where a file system cannot say."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
