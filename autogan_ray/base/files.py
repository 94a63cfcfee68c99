"""Replacing a file in one step, so that neither a crash nor a power cut can leave half of one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[BufferedRandom]:
    """Opens a file that takes the place of ``path`` when the block ends: a reader finds the old file or the new one.

    The content goes into a temporary file of the same folder, which exists already. It is on disk when the block has
    ended. Where the block raises, the old file stays and the temporary one is removed.

    >>> with replacing(Path("weights.pt")) as file:  # doctest: +SKIP
    ...     torch.save(state, file)
    """
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with temporary.open("w+b") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException:  # an interrupt too must not leave the temporary file
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def replace_text(path: Path, text: str) -> None:
    """Replaces a file by a text in UTF-8, as :func:`replacing` does."""
    with replacing(path) as handle:
        handle.write(text.encode())


def fsync_folder(folder: Path) -> None:
    """Waits until the folder's own list of names (a new file, a replacement) is on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def copy_tree(filesystem: Any, source: str, target: Path) -> None:
    """Copies a folder of one of Arrow's file systems into a folder here, which is made; each file appears whole."""
    from pyarrow import fs

    for entry in filesystem.get_file_info(fs.FileSelector(source, recursive=True)):
        if entry.type != fs.FileType.File:
            continue
        place = target / Path(entry.path).relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        with filesystem.open_input_stream(entry.path) as stream, replacing(place) as handle:
            shutil.copyfileobj(stream, handle)
