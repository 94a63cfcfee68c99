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

from autogan_ray.base.json_lines import append_line, read_lines

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
RECORDS = st.dictionaries(st.text(), VALUES, max_size=4)


@given(records=st.lists(RECORDS, max_size=5))
@settings(deadline=None, max_examples=40)
def test_records_come_back_in_order(records: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t0000.jsonl"
        path.touch()
        for record in records:
            append_line(path, record)
        assert read_lines(path) == records
        assert path.read_bytes().count(b"\n") == len(records)


@given(cut=st.integers(1, 200), junk=st.sampled_from([b"", b"\0\0\0", b"\xff\xfe"]))
@settings(deadline=None, max_examples=40)
def test_a_torn_end_loses_that_line_only_and_the_next_record_has_its_own_line(cut: int, junk: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t0000.jsonl"
        first, torn, after = {"n": 1}, {"n": 2, "text": "x\u00e9\n" * 30}, {"n": 3}
        append_line(path, first)
        whole = path.stat().st_size
        append_line(path, torn)
        keep = whole + min(cut, path.stat().st_size - whole - 2)  # at least the brace and the newline are lost
        os.truncate(path, keep)
        with path.open("ab") as handle:
            handle.write(junk)  # some file systems leave zeros where data did not arrive
        assert read_lines(path) == [first]
        append_line(path, after)
        append_line(path, after)
        assert read_lines(path) == [first, after, after]


def test_a_record_that_lost_only_its_newline_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"n":1}')
    assert read_lines(path) == [{"n": 1}]
    append_line(path, {"n": 2})
    assert path.read_bytes() == b'{"n":1}\n{"n":2}\n'


@pytest.mark.parametrize("line", [b"", b"1", b"null", b'"text"', b"[1]", b'{"n":', b"\xc3", b"{}}"])
def test_lines_that_are_no_records_are_left_out(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"n":1}\n' + line + b'\n{"n":2}\n')
    assert read_lines(path) == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_have_are_refused_by_name_and_nothing_is_written(
    tmp_path: Path, value: float
) -> None:
    path = tmp_path / "t.jsonl"
    append_line(path, {"n": 1})
    with pytest.raises(AssertionError, match=rf"t\.jsonl.*record\.decisions\.e0\[1\] = {value}"):
        append_line(path, {"record": {"fid": 3.0, "decisions": {"e0": [0.0, value]}}})
    assert path.read_bytes() == b'{"n":1}\n'


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
    append_line(path, {"n": 1})
    assert calls == ["write 8", "fsync", "fsync"], "the new file's name is synced as well"
    calls.clear()
    append_line(path, {"n": 1})
    assert calls == ["write 8", "fsync"]


def test_a_write_that_is_cut_short_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / "t.jsonl", os.write
    append_line(path, {"n": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:4]))
        with pytest.raises(OSError, match="4 of 8 bytes"):
            append_line(path, {"n": 2})
    append_line(path, {"n": 3})
    assert read_lines(path) == [{"n": 1}, {"n": 3}]


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_lines(tmp_path / "none.jsonl")
