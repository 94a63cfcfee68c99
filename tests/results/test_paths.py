"""Paths in tables: they name files of a study wherever its folder lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from autogan_ray.base.errors import ResultsError
from autogan_ray.results.paths import path_for_table, path_from_table
from autogan_ray.results.store import write_table
from autogan_ray.results.study import load_study

CHECKPOINT = "tune/t0000-abc/checkpoint_000002"


def test_what_lies_in_the_folder_is_relative_to_it_and_all_else_stays(tmp_path: Path) -> None:
    folder, beside = tmp_path / "study", tmp_path / "study2" / CHECKPOINT
    assert path_for_table(folder, str(folder / CHECKPOINT)) == CHECKPOINT
    assert path_for_table(folder, CHECKPOINT) == CHECKPOINT
    for elsewhere in (str(beside), f"s3://bucket/{CHECKPOINT}", "bucket/study"):
        assert path_for_table(folder, elsewhere) == elsewhere
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    assert path_for_table(tmp_path / "link", str(folder / CHECKPOINT)) == CHECKPOINT


def test_a_path_leads_into_the_folder_that_the_table_was_read_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / CHECKPOINT).mkdir(parents=True)
    assert path_from_table(tmp_path / "here", CHECKPOINT) == str(tmp_path / "here" / CHECKPOINT)
    monkeypatch.chdir(tmp_path)
    assert Path(path_from_table(Path("here"), CHECKPOINT)).is_dir()
    uri = f"s3://bucket/{CHECKPOINT}"
    assert path_from_table(tmp_path / "here", uri) == uri


def test_paths_of_schema_1_are_good_where_they_were_and_where_the_folder_is_now(tmp_path: Path) -> None:
    before, now = tmp_path / "before", tmp_path / "now"
    old = str(before / CHECKPOINT)  # schema 1 was absolute, or relative to where the command was typed
    assert path_from_table(now, old) == old  # nothing anywhere
    (now / CHECKPOINT).mkdir(parents=True)
    assert path_from_table(now, old) == path_from_table(now, f"before/{CHECKPOINT}") == str(now / CHECKPOINT)
    (before / CHECKPOINT).mkdir(parents=True)
    assert path_from_table(now, old) == old


def test_a_study_resolves_the_paths_of_its_tables_and_says_where_there_is_none(tmp_path: Path) -> None:
    rows = [{"study_id": "s", "trial_id": "t", "checkpoint_path": CHECKPOINT}, {"study_id": "s", "trial_id": "u"}]
    write_table(tmp_path, "studies", [{"study_id": "s"}])
    write_table(tmp_path, "trials", rows)
    study = load_study(tmp_path)
    there, absent = study.trials["checkpoint_path"]
    assert study.path(there) == str(tmp_path / CHECKPOINT)
    with pytest.raises(ResultsError, match="no path is recorded there"):
        study.path(absent)
