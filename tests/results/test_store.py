"""Tables on disk: what is written is read, whole or not at all, by our reader and by plain pandas."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autogan_ray.base import files
from autogan_ray.base.errors import ResultsError
from autogan_ray.results import study_tables
from autogan_ray.results.schemas import TABLES
from autogan_ray.results.store import read_provenance, read_rows, write_table
from autogan_ray.results.study import Study, load_study
from autogan_ray.results.study_tables import read_table

Row = dict[str, Any]
TIME = pa.timestamp("us", tz="UTC")
DTYPES = {
    pa.string(): ("str", "object"),  # pandas 3, pandas 2
    pa.int64(): ("int64",),
    pa.float64(): ("float64",),
    pa.bool_(): ("bool",),
    TIME: ("datetime64[us, UTC]",),
}
VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.string(): st.text(max_size=8),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float64(): st.floats(allow_nan=False),
    pa.bool_(): st.booleans(),
    TIME: st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
}


def rows_of(name: str, ids: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[list[Row]]:
    table = TABLES[name]
    parts = {field.name: VALUES[field.type] for field in table.schema}
    key = {column: parts[column] if ids is None else ids for column in table.key}
    parts = {column: kind for column, kind in parts.items() if column not in key}
    row = st.fixed_dictionaries(key, optional={column: st.none() | kind for column, kind in parts.items()})
    return st.lists(row, max_size=3, unique_by=lambda one: tuple(one[column] for column in table.key))


def study_at(folder: Path, **values: Any) -> Path:
    write_table(folder, "studies", [{"study_id": "s", "name": folder.name, **values}])
    return folder


def trial(trial_id: str, **values: Any) -> Row:
    return {"study_id": "s", "trial_id": trial_id, **values}


@pytest.mark.parametrize("name", TABLES)
@given(data=st.data())
@settings(deadline=None, max_examples=10)
def test_rows_come_back_with_nulls_where_they_were_silent(name: str, data: st.DataObject) -> None:
    rows = data.draw(rows_of(name))
    with tempfile.TemporaryDirectory() as place:
        path = write_table(Path(place), name, rows, {"command": "autogan-ray run"})
        assert path == Path(place) / f"{name}.parquet"
        assert read_rows(Path(place), name) == [dict.fromkeys(TABLES[name].schema.names) | row for row in rows]
        assert len(pd.read_parquet(path)) == len(rows)


@pytest.mark.parametrize("name", TABLES)
def test_an_empty_table_has_its_columns_and_types_for_plain_pandas(tmp_path: Path, name: str) -> None:
    found = pd.read_parquet(write_table(tmp_path, name, []))
    assert list(found.columns) == TABLES[name].schema.names and len(found) == 0
    for field in TABLES[name].schema:
        assert str(found[field.name].dtype) in DTYPES[field.type], field.name


@pytest.mark.parametrize("name", TABLES)
def test_our_reader_gives_what_plain_pandas_gives(tmp_path: Path, name: str) -> None:
    folder = study_at(tmp_path / "lr=1e-3")  # pyarrow must not take the folder's name for a column
    key = {column: 1 if column in ("evaluation", "kimg") else "x" for column in TABLES[name].key}
    path = write_table(folder, name, [key])
    assert pq.ParquetFile(path).schema_arrow.equals(TABLES[name].schema), "explicit, though all values are null"
    plain = pd.read_parquet(path, partitioning=None)
    pd.testing.assert_frame_equal(read_table(folder, name), plain)


def test_notes_and_provenance_are_in_the_file(tmp_path: Path) -> None:
    found = pq.read_schema(write_table(tmp_path, "trials", [], {"git_commit": "abc"}))
    assert b"softmax" in found.field("relaxation").metadata[b"description"]
    assert found.metadata == {b"schema_version": b"2", b"git_commit": b"abc"}
    assert read_provenance(tmp_path, "trials") == {"git_commit": "abc"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([trial("t", param_g=1)], r"trials: unknown columns \['param_g'\]; did you mean 'params_g'"),
        ([{"study_id": "s"}], "trials: a key column is null: study_id='s', trial_id=None"),
        ([trial("t"), trial("t")], "trials: a key is doubled: study_id='s', trial_id='t'"),
        ([trial("t", evaluations=1.5)], "trials: evaluations is a count, not 1.5"),
        ([trial("t", seed=float("nan"))], "trials: seed is a count, not nan"),
        ([trial("t", started_at=1.7e9)], "trials: started_at wants a time with its zone, not 17"),
        ([trial("t", started_at=datetime(2026, 1, 1))], "trials: started_at wants a time with its zone"),
    ],
)
def test_our_own_mistakes_are_named_and_write_nothing(tmp_path: Path, rows: list[Row], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        write_table(tmp_path / "new", "trials", rows)
    assert not (tmp_path / "new").exists()


def test_an_unknown_table_is_named(tmp_path: Path) -> None:
    study_at(tmp_path)
    with pytest.raises(AssertionError, match=r"no table 'trails'.*'trials'"):
        write_table(tmp_path, "trails", [])
    for read in (read_table, read_rows, read_provenance):
        with pytest.raises(ResultsError, match=r"no table 'trails'; did you mean 'trials'"):
            read(tmp_path, "trails")


def _no_space(*args: Any) -> None:
    raise OSError("no space left on device")


def _interrupted(writer: Any, table: pa.Table, **settings: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("owner", "name", "broken"),
    [(pq.ParquetWriter, "write_table", _interrupted), (os, "fsync", _no_space), (os, "replace", _no_space)],
)
def test_a_failing_write_leaves_the_old_table_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, broken: Callable[..., None]
) -> None:
    before = write_table(tmp_path, "trials", [trial("t", fid_best=1.0)]).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, broken)
        with pytest.raises((OSError, KeyboardInterrupt)):
            write_table(tmp_path, "trials", [trial("t", fid_best=2.0)])
    assert [file.name for file in tmp_path.iterdir()] == ["trials.parquet"]
    assert (tmp_path / "trials.parquet").read_bytes() == before


def test_the_order_is_sync_replace_sync_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    replace = os.replace

    def note_replace(source: Path, target: Path) -> None:
        calls.append(f"replace {source.relative_to(tmp_path)} {target.relative_to(tmp_path)}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append("fsync"))
    monkeypatch.setattr(os, "replace", note_replace)
    monkeypatch.setattr(files, "fsync_folder", lambda folder: calls.append(f"fsync {folder}"))
    write_table(tmp_path, "trials", [])
    replaced = f"replace .trials.parquet.tmp-{os.getpid()} trials.parquet"
    assert calls == ["fsync", replaced, f"fsync {tmp_path}"]


def test_a_reader_beside_the_writer_never_sees_a_broken_or_mixed_table(tmp_path: Path) -> None:
    study_at(tmp_path)
    stop = threading.Event()

    def write(count: int) -> None:  # each table says in each row how many rows it has
        write_table(tmp_path, "trials", [trial(f"t{i:04d}", evaluations=count) for i in range(count)])

    def keep_writing() -> None:
        step = 0
        while not stop.is_set():
            step += 1
            write(1 + step * 37 % 200)

    write(1)
    writer = threading.Thread(target=keep_writing)
    writer.start()
    sizes, end = set(), time.monotonic() + 1.5
    try:
        while time.monotonic() < end:
            found = read_table(tmp_path, "trials")
            assert (found["evaluations"] == len(found)).all()
            sizes.add(len(found))
    finally:
        stop.set()
        writer.join()
    assert len(sizes) > 1, "the reader saw the table change"


@pytest.mark.parametrize("name", ["studies", "trials"])
def test_a_table_of_schema_1_is_read_and_written_on_with_nulls_for_what_it_lacks(tmp_path: Path, name: str) -> None:
    new = {"studies": ["channels", "n_classes", "n_images", "data_source", "data_read"], "trials": ["fid_first_rung"]}
    first, second = (dict.fromkeys(TABLES[name].key, one) for one in "ab")
    path = write_table(study_at(tmp_path), name, [first], {"command": "run"})
    old = pq.read_table(path).drop_columns(new[name])
    pq.write_table(old.replace_schema_metadata({"schema_version": "1", "command": "run"}), path)
    found = read_table(tmp_path, name)
    assert list(found.columns) == TABLES[name].schema.names and found[new[name]].isna().all(axis=None)
    assert read_provenance(tmp_path, name) == {"command": "run"}
    write_table(tmp_path, name, [*read_rows(tmp_path, name), second])
    assert read_rows(tmp_path, name) == [dict.fromkeys(TABLES[name].schema.names) | row for row in (first, second)]
    assert pq.read_schema(path).metadata[b"schema_version"] == b"2"


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"schema_version": "3"}, r"trials\.parquet has schema 3; this autogan-ray reads up to 2"),
        ({"schema_version": "one"}, "not written by autogan-ray"),
        (None, "not written by autogan-ray"),
    ],
)
def test_a_table_of_another_kind_is_refused_and_left_alone(
    tmp_path: Path, metadata: dict[str, str] | None, message: str
) -> None:
    path = write_table(study_at(tmp_path), "trials", [trial("t")])
    pq.write_table(pq.read_table(path).replace_schema_metadata(metadata), path)
    before = path.read_bytes()
    for use in (read_table, read_rows, read_provenance):
        with pytest.raises(ResultsError, match=message):
            use(tmp_path, "trials")
    assert path.read_bytes() == before


def test_a_damaged_table_an_unreadable_and_a_missing_one(tmp_path: Path) -> None:
    whole = (path := write_table(study_at(tmp_path), "trials", [trial("t")])).read_bytes()
    for torn in (b"", b"PAR1", whole[:300], whole[:-1], whole[:4] + b"\xff" * 60 + whole[64:]):
        path.write_bytes(torn)
        with pytest.raises(ResultsError, match=r"trials\.parquet is damaged \(.*--resume builds it again"):
            read_table(tmp_path, "trials")
    path.unlink()
    with pytest.raises(ResultsError, match=r"has no trials\.parquet"):
        read_table(tmp_path, "trials")
    assert read_rows(tmp_path, "trials") == []
    path.mkdir()
    with pytest.raises(ResultsError, match=r"trials\.parquet cannot be read: Is a directory"):
        read_table(tmp_path, "trials")


def test_a_folder_that_is_no_study_is_named_with_the_studies_near_it(tmp_path: Path) -> None:
    assert study_tables.list_studies(tmp_path / "none") == [] == study_tables.list_studies(tmp_path)
    write_table(tmp_path / "digist", "trials", [])  # a table alone is no study
    expected = [study_at(tmp_path / "cifar10"), study_at(tmp_path / "digits")]
    study_at(tmp_path / "digits" / "inner")
    assert study_tables.list_studies(tmp_path) == expected
    with pytest.raises(ResultsError, match=r"digist' is not a study's folder.*did you mean 'digits'"):
        read_table(tmp_path / "digist", "trials")
    study_at(tmp_path / "results" / "smoke")
    with pytest.raises(ResultsError, match=r"results' there are studies, did you mean 'smoke'"):
        read_table(tmp_path / "results" / "smok", "trials")
    (tmp_path / "cwd").mkdir()
    study_at(tmp_path / "cwd" / "results" / "smoke")
    with pytest.raises(ResultsError, match=r"cwd/results' there are studies, did you mean 'smoke'"):
        read_table(tmp_path / "cwd" / "smok", "trials")  # its name alone was typed
    with pytest.raises(ResultsError, match="known: cifar10, digits"):
        load_study(tmp_path)  # the folder of studies itself
    with pytest.raises(ResultsError, match=r"no studies\.parquet$"):
        load_study(tmp_path / "far" / "away")


def test_a_study_shows_its_tables_and_follows_them(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 24, 1, 2, 3, 456789, tzinfo=timezone(timedelta(hours=5)))
    about = {"config_json": '{"seed": 7}', "best_trial_id": "u", "created_at": moment}
    folder = study_at(tmp_path / "digits", **about)
    for name in set(TABLES) - {"studies"}:
        write_table(folder, name, [])
    study = load_study(str(folder))
    assert (study, study.folder, study.name, study.config) == (
        Study(folder),
        folder,
        "digits",
        {"seed": 7},
    )
    assert study.studies["created_at"].iloc[0] == pd.Timestamp(moment)
    for name in TABLES:
        assert list(getattr(study, name).columns) == TABLES[name].schema.names
    with pytest.raises(ResultsError, match="no best trial yet"):
        _ = study.best  # the study's row can be newer than the trials
    write_table(folder, "trials", [trial("t", fid_best=9.0), trial("u", fid_best=3.0)])
    assert isinstance(study.best, pd.Series) and study.best["fid_best"] == 3.0


def test_what_a_study_does_not_have_is_said(tmp_path: Path) -> None:
    write_table(study_at(tmp_path), "trials", [trial("t")])
    with pytest.raises(ResultsError, match="no best trial yet: none has a score"):
        _ = load_study(tmp_path).best
    for text in (None, "{", "[1]"):
        study_at(tmp_path, config_json=text)
        with pytest.raises(ResultsError, match="no configuration in config_json"):
            _ = load_study(tmp_path).config
    write_table(tmp_path, "studies", [])
    with pytest.raises(ResultsError, match=r"studies\.parquet has no row"):
        _ = load_study(tmp_path).name
