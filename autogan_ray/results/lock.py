"""The lock of a folder: one process at a time runs a study, and one retrains its networks.

The lock itself is the kernel's, which lets it go when its process is gone, however that ends. A file beside it says who
holds it, for those who find it held, and stands for it on file systems without such locks: its holder touches it every
few seconds, so that one whose holder is gone is known by its age, on any machine.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from autogan_ray.base.errors import ResultsError
from autogan_ray.base.files import replace_text
from autogan_ray.base.reading import read_object

HOLDER = ".driver.json"
"""Who holds the lock of the folder."""

TOUCHED_EVERY_S = 10.0
STALE_S = 120.0
"""A holder that did not touch its file for so long is gone, unless its process on this machine says otherwise."""


@contextmanager
def sole_driver(folder: Path) -> Iterator[None]:
    """Locks a folder while the block runs; the lock ends with the process, however that ends.

    Raises ResultsError, naming host, process and since when, where another process has the lock: two processes would
    write the same logs.
    """
    handle = os.open(folder, os.O_RDONLY)
    done = threading.Event()
    file = folder / HOLDER
    try:
        if not _locked(handle, fcntl.LOCK_EX, file):
            raise ResultsError(_refusal(folder))
        replace_text(file, json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}) + "\n")
        threading.Thread(target=_touch, args=(file, done), name="lock", daemon=True).start()
        yield
    finally:
        if not done.is_set() and _holder(folder).get("pid") == os.getpid():
            file.unlink(missing_ok=True)
        done.set()
        os.close(handle)


def check_free(folder: Path) -> None:
    """Raises ResultsError as :func:`sole_driver` does; for a refusal before any work. A folder may be missing."""
    if folder.is_dir() and is_held(folder):
        raise ResultsError(_refusal(folder))


def is_held(folder: Path) -> bool:
    """Returns whether a process has the lock of the folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        return not _locked(handle, fcntl.LOCK_SH, folder / HOLDER)
    finally:
        os.close(handle)


def _locked(handle: int, kind: int, file: Path) -> bool:
    """Whether a lock was given; on a file system without locks, whether nobody is known to have it."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return not _is_fresh(file)
    return True


def _is_fresh(file: Path) -> bool:
    """Whether the file's holder lives: its process, where it is one of this machine, or its last touch is recent."""
    holder = _holder(file.parent)
    if holder.get("host") == socket.gethostname():
        with suppress(OSError, TypeError, OverflowError):
            os.kill(int(holder["pid"]), 0)
            return holder["pid"] != os.getpid()
        return False
    with suppress(OSError):
        return abs(time.time() - file.stat().st_mtime) < STALE_S  # a clock may have been set back
    return False


def _holder(folder: Path) -> dict[str, Any]:
    """What the file says; empty where it is missing or torn."""
    with suppress(OSError, ResultsError):
        return read_object(folder / HOLDER, ResultsError)
    return {}


def _refusal(folder: Path) -> str:
    holder = _holder(folder)
    who = "another process"
    with suppress(KeyError, TypeError, ValueError, OverflowError, OSError):
        since = datetime.fromtimestamp(holder["since"]).astimezone().isoformat(sep=" ", timespec="seconds")
        who = f"process {int(holder['pid'])} on host {str(holder['host'])!r}, since {since},"
    return f"{folder}: {who} is at work here; wait for its end, or stop it, and go on with --resume"


def _touch(file: Path, done: threading.Event) -> None:
    while not done.wait(TOUCHED_EVERY_S):
        with suppress(OSError):
            os.utime(file)
