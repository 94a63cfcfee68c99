"""The lock of a study's folder: one process runs a study at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autogan_ray.base.errors import ResultsError


@contextmanager
def sole_driver(folder: Path) -> Iterator[None]:
    """Locks a study's folder while the block runs; the lock ends with the process, however that ends.

    Raises ResultsError where another process has the lock: two processes would write the same logs.
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
    """Returns whether a process of this machine runs the study; True also where the file system cannot tell."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
