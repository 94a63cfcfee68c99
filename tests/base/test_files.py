"""A file that is replaced is the old one or the new one, whatever ends the writing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autogan_ray.base.files import replace_text, replacing


def test_a_replaced_text_is_the_old_one_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "study.json"
    replace_text(file, "old\n")
    replace_text(file, "new é\n")
    assert file.read_text(encoding="utf-8") == "new é\n" and list(tmp_path.iterdir()) == [file]

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        replace_text(file, "never")
    assert file.read_text(encoding="utf-8") == "new é\n" and list(tmp_path.iterdir()) == [file]


def test_content_that_fails_midway_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "state.pt"
    file.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), replacing(file) as handle:
        handle.write(b"half")
        raise ZeroDivisionError
    assert file.read_bytes() == b"old" and list(tmp_path.iterdir()) == [file]
