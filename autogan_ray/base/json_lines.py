"""Append-only records, one JSON object a line: the ground that tables are rebuilt from.

A crash can tear the line that was being written and nothing else; readers leave torn lines out.
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
    """Add a record and wait until it is on disk. One writer a file; the folder must exist.

    Raises:
        AssertionError: NaN or an infinity in the record: JSON has none, the caller replaces them.
        OSError: the disk took none or a part of the line; readers leave the part out.
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
            text = "\n" + text  # do not glue the record to a torn one
        line = text.encode()
        written = os.write(handle, line)  # os.write has no buffer to flush
        if written != len(line):
            raise OSError(f"{path}: {written} of {len(line)} bytes written; is the disk full?")
        os.fsync(handle)
    finally:
        os.close(handle)
    if size == 0:
        fsync_folder(path.parent)  # else a power cut can lose the new file with all that is in it


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All whole records in order; torn lines, the last or those a crash left in between, are left out.

    Raises OSError where the file is missing or unreadable.
    """
    found = []
    for line in path.read_bytes().split(b"\n"):
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError):
            continue
        if isinstance(record, dict):  # else no record of ours
            found.append(record)
    return found


def _not_finite(value: Any, place: str) -> Iterator[str]:
    """``place = nan`` for each number in nested mappings and sequences that JSON cannot say."""
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{place} = {value}"
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _not_finite(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _not_finite(inner, f"{place}[{index}]")
