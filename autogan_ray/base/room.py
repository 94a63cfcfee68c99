"""Disks that are full or can only be read: one message, whatever was being written, and nothing torn."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from autogan_ray.base.errors import MachineError

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""The system's errors of a disk, or of a user's share of it, that takes nothing more."""


@contextmanager
def room_wanted(folder: Path) -> Iterator[None]:
    """Raises MachineError, naming the place and its free room, where the block fails as nothing can be written.

    Args:
        folder: that the block writes to, for errors which name no file.
    """
    try:
        yield
    except Exception as error:
        cause = _no_room(error)
        if cause is None:
            raise
        raise MachineError(no_room_text(Path(cause.filename or folder), cause.strerror or str(cause))) from error


def no_room_text(place: Path, reason: str) -> str:
    """Returns the message: the place, the reason, the free room, and what to do."""
    there = next((path for path in (place, *place.parents) if path.exists()), Path())
    free = ""
    with suppress(OSError):
        usage = shutil.disk_usage(there)
        free = f"; {usage.free / 2**20:,.0f} of {usage.total / 2**20:,.0f} MiB are free"
    return (
        f"{place}: nothing can be written ({reason}{free}); what is there is whole: make room, and the same "
        "command goes on with --resume"
    )


def tells_of_no_room(text: str) -> bool:
    """Returns whether the text of an error, from another process, tells that nothing could be written."""
    return any(int(number) in NO_ROOM for number in re.findall(r"\[[Ee]rrno (\d+)\]", text))


def _no_room(error: BaseException) -> OSError | None:
    """The error of the system that an error comes from."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.errno in NO_ROOM:
            return found
        found = found.__cause__ or found.__context__
    return None
