"""Files to which records are appended, one JSON object on each line; all tables are built from such files.

A crash can tear only the line that is being written, and readers leave torn lines out.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autogan_ray.base.files import fsync_folder


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Appends a record and waits until it is on disk.

    A file has one writer at a time. Its folder must exist.

    Raises:
        AssertionError: the record holds NaN or an infinity, which JSON does not have; the caller must replace them.
        OSError: nothing or only a part of the line was written; readers leave the part out.
    """
    try:
        text = json.dumps(record, allow_nan=False, separators=(",", ":")) + "\n"
    except ValueError as error:
        places = ", ".join(_not_finite(record, "")) or str(error)
        raise AssertionError(f"a record for {path.name} is not JSON: {places}") from error
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            text = "\n" + text  # after a torn line, so that the record begins a new line
        line = text.encode()
        written = os.write(handle, line)  # os.write has no buffer to flush
        if written != len(line):
            raise OSError(f"{path}: {written} of {len(line)} bytes written; is the disk full?")
        os.fsync(handle)
    finally:
        os.close(handle)
    if size == 0:
        fsync_folder(path.parent)  # else a power cut can lose the new file with its content


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole records of a file in their order, without the lines that a crash has torn.

    Raises OSError where the file is missing or unreadable.
    """
    records = []
    for line in path.read_bytes().split(b"\n"):
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError):
            continue
        if isinstance(record, dict):  # part of a torn line can be another JSON value
            records.append(record)
    return records


def _not_finite(value: Any, place: str) -> Iterator[str]:
    """Yields ``place = nan`` for each number in nested mappings and sequences that JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{place} = {value}"
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _not_finite(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _not_finite(inner, f"{place}[{index}]")


def finite(value: float | None) -> float | None:
    """Returns None for a value that is not finite: JSON has no NaN, and a diverged search may have nothing else."""
    return value if value is not None and math.isfinite(value) else None
