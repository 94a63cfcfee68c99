"""Append-only records: what was acknowledged is read again, whatever a crash does to the file's end."""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autogan_ray.base.json_lines import append_line, read_lines, replace_lines

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
RECORDS = st.dictionaries(st.text(), VALUES, max_size=4)


def write(path: Path, records: list[dict[str, Any]]) -> None:
    for number, record in enumerate(records, start=1):
        append_line(path, record, number)


def whole(path: Path) -> list[dict[str, Any]]:
    found = read_lines(path)
    assert found.damage == [] and found.last == len(found.records)
    return found.records


@given(records=st.lists(RECORDS, max_size=5))
@settings(deadline=None, max_examples=40)
def test_records_come_back_in_order(records: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t0000.jsonl"
        path.touch()
        write(path, records)
        assert whole(path) == records
        assert path.read_bytes().count(b"\n") == len(records)
        content = path.read_bytes()
        assert replace_lines(path, records) == len(records) and path.read_bytes() == content


@given(cut=st.integers(1, 200), junk=st.sampled_from([b"", b"\0\0\0", b"\xff\xfe"]))
@settings(deadline=None, max_examples=40)
def test_a_torn_end_loses_that_line_only_and_the_next_record_has_its_own_line(cut: int, junk: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t0000.jsonl"
        first, torn, after = {"n": 1}, {"n": 2, "text": "x\u00e9\n" * 30}, {"n": 3}
        append_line(path, first, 1)
        begun = path.stat().st_size
        append_line(path, torn, 2)
        keep = begun + min(cut, path.stat().st_size - begun - 2)  # at least the brace and the newline are lost
        os.truncate(path, keep)
        with path.open("ab") as handle:
            handle.write(junk)  # some file systems leave zeros where data did not arrive
        assert whole(path) == [first]
        append_line(path, after, 2)
        append_line(path, after, 3)
        assert whole(path) == [first, after, after]


def test_a_record_that_lost_only_its_newline_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    write(path, [{"n": 1}])
    content = path.read_bytes()
    for end in (b"", b"X"):
        path.write_bytes(content[:-1] + end)
        assert whole(path) == [{"n": 1}]
    path.write_bytes(content[:-1])
    append_line(path, {"n": 2}, 2)
    assert whole(path) == [{"n": 1}, {"n": 2}]


def test_every_flipped_byte_of_a_file_loses_nothing_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    records: list[dict[str, Any]] = [{"kind": "trial"}, {"kind": "evaluation", "fid": 47.07}, {"kind": "status"}]
    write(path, records)
    content = path.read_bytes()
    for place in range(len(content)):
        for flip in (1, 2, 4, 16, 128, content[place] ^ 10):  # the last makes a line end
            if flip == 0:
                continue
            damaged = bytearray(content)
            damaged[place] ^= flip
            path.write_bytes(damaged)
            found = read_lines(path)
            assert found.records == records or found.damage, (place, flip)
            assert all(record in records for record in found.records)


@pytest.mark.parametrize("lost", [1, 2])
def test_lines_that_are_gone_leave_a_gap_that_is_told(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "t.jsonl"
    write(path, [{"n": number} for number in range(5)])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:1] + lines[1 + lost :]))
    found = read_lines(path)
    assert len(found.records) == 5 - lost and found.last == 5
    assert found.damage == [f"{lost} {'line is' if lost == 1 else 'lines are'} lost before line 2"]
    path.write_bytes(b"".join([*lines[:2], *lines[:2]]))
    assert read_lines(path).damage == [f"line {p} has the number {p - 2}, and comes after number 2" for p in (3, 4)]


def test_lines_of_earlier_versions_have_neither_number_nor_checksum_and_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"n":1}\n{"n":2}\n{"n":')
    assert whole(path) == [{"n": 1}, {"n": 2}]
    append_line(path, {"n": 3}, read_lines(path).last + 1)
    assert whole(path) == [{"n": 1}, {"n": 2}, {"n": 3}]
    with path.open("ab") as handle:
        handle.write(b'{"n":4}\n')  # after lines with checksums one without is no line of this file
    assert read_lines(path).records[-1] == {"n": 3} and read_lines(path).damage == ["line 5 is damaged"]


@pytest.mark.parametrize("line", [b"1", b"null", b'"text"', b"[1]", b'{"n":', b"\xc3", b"{}}", b"[" * 99999])
def test_lines_that_are_no_records_are_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"n":1}\n' + line + b'\n{"n":2}\n')
    found = read_lines(path)
    assert found.records == [{"n": 1}, {"n": 2}] and found.damage == ["line 2 is not readable"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_have_are_refused_by_name_and_nothing_is_written(
    tmp_path: Path, value: float
) -> None:
    path = tmp_path / "t.jsonl"
    append_line(path, {"n": 1}, 1)
    before = path.read_bytes()
    with pytest.raises(AssertionError, match=rf"t\.jsonl.*record\.decisions\.e0\[1\] = {value}"):
        append_line(path, {"record": {"fid": 3.0, "decisions": {"e0": [0.0, value]}}}, 2)
    assert path.read_bytes() == before


def test_a_record_is_one_write_and_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    write, fsync = os.write, os.fsync

    def note_write(descriptor: int, data: bytes) -> int:
        calls.append(f"write {len(data)}")
        return write(descriptor, data)

    def note_sync(descriptor: int) -> None:
        calls.append("fsync")
        fsync(descriptor)

    monkeypatch.setattr(os, "write", note_write)
    monkeypatch.setattr(os, "fsync", note_sync)
    path = tmp_path / "t.jsonl"
    append_line(path, {"n": 1}, 1)
    assert calls == ["write 34", "fsync", "fsync"], "the new file's name is synced as well"
    calls.clear()
    append_line(path, {"n": 1}, 2)
    assert calls == ["write 34", "fsync"]


def test_a_write_that_is_cut_short_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / "t.jsonl", os.write
    append_line(path, {"n": 1}, 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:4]))
        with pytest.raises(OSError, match="4 of 34 bytes"):
            append_line(path, {"n": 2}, 2)
    append_line(path, {"n": 3}, 2)
    assert whole(path) == [{"n": 1}, {"n": 3}]


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_lines(tmp_path / "none.jsonl")
