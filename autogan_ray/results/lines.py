"""Append-only records, one JSON object a line; a crash can tear the last line and nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Add a record and wait until it is on disk. NaN and infinities are refused (ValueError): JSON has none."""
    text = json.dumps(record, allow_nan=False, separators=(",", ":")) + "\n"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            text = "\n" + text  # do not glue a record to a torn one
        os.write(handle, text.encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All whole records; torn lines are left out."""
    found = []
    for line in path.read_bytes().split(b"\n"):
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError):
            continue
        if isinstance(record, dict):
            found.append(record)
    return found
