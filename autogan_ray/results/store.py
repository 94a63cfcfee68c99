"""Writing tables whole and atomically; reading them, and a study made of them."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from autogan_ray.base.errors import ResultsError, nearest
from autogan_ray.base.files import replacing
from autogan_ray.results.schemas import SCHEMA_VERSION, TABLES, Table

Row = Mapping[str, Any]
_VERSION = "schema_version"


class LostTable(ResultsError):
    """A table that is not there, or damaged."""


def write_table(folder: Path, name: str, rows: Sequence[Row], provenance: Mapping[str, str] | None = None) -> Path:
    """Replace ``folder/name.parquet`` in one step: a reader finds the old table or the new one.

    Columns that a row lacks are null. A failure leaves the old table as it was, and no temporary file.

    Args:
        folder: of the study; made where it is missing.
        name: of the table, one of ``TABLES``.
        rows: all rows; times must know their zone.
        provenance: text by name, for the file's metadata.

    Raises:
        AssertionError: our own mistakes: an unknown table or column, a key that is null or comes twice, a
            fraction in a count, a time without its zone.
        pyarrow.ArrowException: any other value that does not fit its column.
    """
    return write_arrow(folder, name, arrow_rows(name, rows), provenance)


def arrow_rows(name: str, rows: Sequence[Row]) -> pa.Table:
    """Rows of a table, checked, as :func:`write_arrow` takes them. Raises as :func:`write_table` does."""
    assert name in TABLES, f"no table {name!r}; {nearest(name, TABLES)}"
    table = TABLES[name]
    return pa.Table.from_pydict(_columns(table, rows), schema=table.schema)


def write_arrow(folder: Path, name: str, rows: pa.Table, provenance: Mapping[str, str] | None = None) -> Path:
    """:func:`write_table` for what :func:`arrow_rows` gave, in one piece or joined: keys are not looked at again."""
    arrow = rows.replace_schema_metadata({_VERSION: str(SCHEMA_VERSION), **(provenance or {})})
    folder.mkdir(parents=True, exist_ok=True)
    target = _file(folder, name)
    with replacing(target) as handle:
        pq.write_table(arrow, handle)
    return target


def _columns(table: Table, rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Column by column, checked for what Arrow lets pass: it drops unknown columns, allows doubled keys, and so on."""
    known = set(table.schema.names)
    unknown = sorted(set().union(*rows) - known)
    assert not unknown, f"{table.name}: unknown columns {unknown}; {nearest(unknown[0], known)}"
    columns = {name: [row.get(name) for row in rows] for name in table.schema.names}
    keys = list(zip(*(columns[name] for name in table.key), strict=True))
    for key in (key for key in keys if None in key):
        raise AssertionError(f"{table.name}: a key column is null: {_named(table, key)}")
    for key in (key for key, times in Counter(keys).items() if times > 1):
        raise AssertionError(f"{table.name}: a key is doubled: {_named(table, key)}")
    for field in table.schema:
        if pa.types.is_integer(field.type):  # a fraction would be cut off
            for value in columns[field.name]:
                whole = not isinstance(value, float) or value.is_integer()
                assert whole, f"{table.name}: {field.name} is a count, not {value!r}"
        elif pa.types.is_timestamp(field.type):  # a number would be taken for microseconds, a bare time for UTC
            for value in columns[field.name]:
                aware = isinstance(value, datetime) and value.tzinfo is not None
                assert value is None or aware, f"{table.name}: {field.name} wants a time with its zone, not {value!r}"
    return columns


def _named(table: Table, key: tuple[Any, ...]) -> str:
    return ", ".join(f"{column}={value!r}" for column, value in zip(table.key, key, strict=True))


def _key(table: Table, row: Row) -> tuple[Any, ...]:
    return tuple(map(row.get, table.key))


def append_rows(folder: Path, name: str, rows: Sequence[Row], provenance: Mapping[str, str] | None = None) -> Path:
    """Add rows; one with the key of an older row takes its place. One writer at a time.

    ``provenance`` is laid over what the file has. Raises as ``write_table`` does, and ResultsError
    where the table on disk is damaged or of a newer schema: it is then left alone.
    """
    assert name in TABLES, f"no table {name!r}; {nearest(name, TABLES)}"
    table = TABLES[name]
    fresh = {_key(table, row) for row in rows}
    kept = [row for row in read_rows(folder, name) if _key(table, row) not in fresh]
    earlier = read_provenance(folder, name) if _file(folder, name).exists() else {}
    return write_table(folder, name, [*kept, *rows], earlier | dict(provenance or {}))


def read_table(folder: Path, name: str) -> pd.DataFrame:
    """A table just as ``pd.read_parquet`` gives it, at one moment even while it is being replaced.

    Raises:
        ResultsError: no such table; not a study's folder; damaged; written by a newer version.
    """
    if not _file(folder, "studies").is_file():
        hint = _hint(folder)
        raise ResultsError(f"{str(folder)!r} is not a study's folder: it has no studies.parquet{hint}")
    return _load(folder, name).to_pandas()


def read_rows(folder: Path, name: str) -> list[dict[str, Any]]:
    """The rows as plain dicts; an absent table has none. Raises ResultsError as ``read_table`` does."""
    if name in TABLES and not _file(folder, name).exists():
        return []
    return _load(folder, name).to_pylist()


def is_lost(folder: Path, name: str) -> bool:
    """Whether a table is not there, or damaged. Raises ResultsError for one that a newer version wrote."""
    try:
        _load(folder, name)
    except LostTable:
        return True
    return False


def read_provenance(folder: Path, name: str) -> dict[str, str]:
    """What ``write_table`` was told of the table's origin. Raises ResultsError as ``read_table`` does."""
    found = _metadata(_load(folder, name))
    return {key: value for key, value in found.items() if key != _VERSION}


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.parquet"


def _metadata(table: pa.Table) -> dict[str, str]:
    found = table.schema.metadata or {}
    return {key.decode(errors="replace"): value.decode(errors="replace") for key, value in found.items()}


def _load(folder: Path, name: str) -> pa.Table:
    """The table, by one ``open``: pyarrow opens a path twice, and breaks where it is replaced in between."""
    if name not in TABLES:
        raise ResultsError(f"no table {name!r}; {nearest(name, TABLES)}")
    file = _file(folder, name)
    try:
        data = file.read_bytes()
    except FileNotFoundError as error:
        raise LostTable(f"{str(folder)!r} has no {file.name}; is the study just starting?") from error
    except OSError as error:
        raise ResultsError(f"{file} cannot be read: {error.strerror}") from error
    try:
        table = pq.ParquetFile(io.BytesIO(data)).read()
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise LostTable(f"{file} is damaged ({reason}); the study's command with --resume builds it again") from error
    version = _metadata(table).get(_VERSION, "")
    if not version.isdecimal():
        raise ResultsError(f"{file} was not written by autogan-ray: its metadata has no {_VERSION}")
    if int(version) > SCHEMA_VERSION:
        raise ResultsError(f"{file} has schema {version}; this autogan-ray reads up to {SCHEMA_VERSION}: update it")
    return table


def _hint(folder: Path) -> str:
    """Where studies are: in the folder itself, else beside it."""
    for place in (folder, folder.absolute().parent):
        names = [found.name for found in list_studies(place)]
        if names:
            return f"; in {str(place)!r} there are studies, {nearest(folder.name, names)}"
    return ""


def list_studies(folder: Path, name: str = "*") -> list[Path]:
    """Sub-folders (of that name) that hold a study, by name; none where the folder is missing."""
    return sorted(file.parent for file in folder.glob(f"{name}/studies.parquet")) if folder.is_dir() else []


@dataclass(frozen=True)
class Study:
    """A study's tables as DataFrames, read anew at each access, so that a running study can be followed."""

    folder: Path

    @property
    def studies(self) -> pd.DataFrame:
        return read_table(self.folder, "studies")

    @property
    def trials(self) -> pd.DataFrame:
        return read_table(self.folder, "trials")

    @property
    def history(self) -> pd.DataFrame:
        return read_table(self.folder, "history")

    @property
    def decisions(self) -> pd.DataFrame:
        return read_table(self.folder, "decisions")

    @property
    def genotypes(self) -> pd.DataFrame:
        return read_table(self.folder, "genotypes")

    @property
    def evaluations(self) -> pd.DataFrame:
        return read_table(self.folder, "evaluations")

    @property
    def name(self) -> str:
        return str(self._own("name"))

    @property
    def config(self) -> dict[str, Any]:
        """The study's configuration as it was run. Raises ResultsError where it was not recorded."""
        text = self._own("config_json")
        try:
            found = json.loads(text) if isinstance(text, str) else None
        except json.JSONDecodeError:
            found = None
        if not isinstance(found, dict):
            raise ResultsError(f"study {str(self.folder)!r} has no configuration in config_json")
        return found

    @property
    def best(self) -> pd.Series:
        """The row of ``trials`` with the best evaluation. Raises ResultsError while there is none."""
        best_id = self._own("best_trial_id")
        trials = self.trials
        found = trials[trials["trial_id"] == best_id]
        if found.empty:  # also where best_id is null: it equals nothing
            raise ResultsError(f"study {str(self.folder)!r} has no best trial yet: none has a score")
        return found.iloc[0]

    def _own(self, column: str) -> Any:
        studies = self.studies
        if studies.empty:
            raise ResultsError(f"{self.folder / 'studies.parquet'} has no row")
        return studies[column].iloc[0]


def load_study(folder: str | Path) -> Study:
    """A study by its folder, finished or running. Raises ResultsError where there is none."""
    study = Study(Path(folder))
    _ = study.studies
    return study
