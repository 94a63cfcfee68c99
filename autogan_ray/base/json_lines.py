"""Files to which records are appended, one JSON object on each line; all tables are built from such files.

Each line ends with its number in the file and a checksum of what stands before::

    {"kind":"status","status":"running","line":2,"crc":"8f14e45f"}

A crash can tear only the line that is being written: nobody was told that it is there, the next line takes its number,
and readers leave it out. All else that does not fit is damage, which readers report: a checksum, a gap between numbers.
Earlier versions wrote neither; their lines are read as they are, where they stand before the first line that has both.
"""

from __future__ import annotations

import json
import math
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autogan_ray.base.files import fsync_folder, replacing

_CHECKSUM = re.compile(rb',"crc":"([0-9a-f]{8})"}$')


@dataclass
class Lines:
    """What a file of lines holds.

    Args:
        records: the whole records in their order.
        damage: what is wrong with the file, in words; empty where it is whole or has only torn lines.
        last: number of the last line, damaged lines at the end counted; what is appended has the next number.
        checked: whether all lines have a checksum; those of earlier versions have none.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    last: int = 0
    checked: bool = True


def append_line(path: Path, record: Mapping[str, Any], number: int) -> None:
    """Appends a record and waits until it is on disk.

    A file has one writer at a time. Its folder must exist.

    Args:
        number: of the line: 1 for the first, and for each further line the number after the last whole one.

    Raises:
        AssertionError: the record holds NaN or an infinity, which JSON does not have; the caller must replace them.
        OSError: nothing or only a part of the line was written; readers leave the part out.
    """
    line = _line(path, record, number)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            line = b"\n" + line  # after a torn line, so that the record begins a new line
        written = os.write(handle, line)  # os.write has no buffer to flush
        if written != len(line):
            raise OSError(f"{path}: {written} of {len(line)} bytes written; is the disk full?")
        os.fsync(handle)
    finally:
        os.close(handle)
    if size == 0:
        fsync_folder(path.parent)  # else a power cut can lose the new file with its content


def replace_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> int:
    """Replaces a file by one with these records, numbered from 1, in one step; returns the number of the last."""
    lines = [_line(path, record, number) for number, record in enumerate(records, start=1)]
    with replacing(path) as handle:
        handle.write(b"".join(lines))
    return len(lines)


def _line(path: Path, record: Mapping[str, Any], number: int) -> bytes:
    try:
        text = json.dumps({**record, "line": number}, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        places = ", ".join(_not_finite(record, "")) or str(error)
        raise AssertionError(f"a record for {path.name} is not JSON: {places}") from error
    body = text[:-1].encode()
    return body + b',"crc":"%08x"}\n' % zlib.crc32(body)


def read_lines(path: Path) -> Lines:
    """Returns the records of a file, without numbers and checksums, and what is damaged in it.

    Raises OSError where the file is missing or unreadable.
    """
    found, checked = Lines(), False
    doubtful: list[int] = []
    *whole, torn = path.read_bytes().split(b"\n")
    # A line that lost nothing but its end is whole, also where that byte is another one now.
    end = next((line for line in (torn, torn[:-1]) if _record(line)), b"")
    for place, line in enumerate([*whole, end], start=1):
        if not line:
            continue
        record = _record(line)
        number = None if record is None else record.pop("line", None)
        if record is None or (checked and number is None):
            doubtful.append(place)
            continue
        if number is None:  # of an earlier version, where nothing tells a torn line from a damaged one
            if doubtful:
                found.damage.append(f"{_named(doubtful)} not readable")
            number, found.checked = found.last + 1, False
        else:
            checked = True
            lost = number - found.last - 1
            if lost < 0:
                found.damage.append(f"line {place} has the number {number}, and comes after number {found.last}")
                continue
            if lost:
                why = f" ({_named(doubtful)} damaged)" if doubtful else ""
                found.damage.append(f"{lost} {'line is' if lost == 1 else 'lines are'} lost before line {place}{why}")
        doubtful = []
        found.last = number
        found.records.append(record)
    if doubtful:
        found.damage.append(f"{_named(doubtful)} damaged")
        found.last += len(doubtful)
    return found


def _named(places: list[int]) -> str:
    return f"line {places[0]} is" if len(places) == 1 else f"lines {', '.join(map(str, places))} are"


def _record(line: bytes) -> dict[str, Any] | None:
    """The record of a line, with its number; None where the line is torn or damaged."""
    found = _CHECKSUM.search(line)
    if found is not None:
        if int(found[1], 16) != zlib.crc32(line[: found.start()]):
            return None
        line = line[: found.start()] + b"}"
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return None
    if not isinstance(record, dict):  # part of a torn line can be another JSON value
        return None
    # A line that has a number and no checksum, or the other way round, is damaged.
    whole = "line" not in record if found is None else isinstance(record.get("line"), int)
    return record if whole else None


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
