"""Writing tables whole and atomically; reading them, and a study made of them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from autogan_ray.errors import ResultsError
from autogan_ray.results.schemas import SCHEMA_VERSION, TABLES

Row = Mapping[str, Any]


def write_table(folder: Path, name: str, rows: Sequence[Row], provenance: Mapping[str, str] | None = None) -> Path:
    """Replace ``folder/name.parquet`` in one step: a reader sees the old table or the new one.

    Columns that a row lacks are null; unknown columns, null or doubled keys are our own mistakes (AssertionError).
    """
    table = TABLES[name]
    known = set(table.schema.names)
    keys = set()
    for row in rows:
        assert set(row) <= known, f"{name}: unknown columns {sorted(set(row) - known)}"
        key = tuple(row.get(column) for column in table.key)
        assert None not in key and key not in keys, f"{name}: key {key} is null or doubled"
        keys.add(key)
    metadata = {"schema_version": str(SCHEMA_VERSION), **(provenance or {})}
    arrow = pa.Table.from_pylist([dict(row) for row in rows], schema=table.schema.with_metadata(metadata))
    folder.mkdir(parents=True, exist_ok=True)
    target, temporary = folder / f"{name}.parquet", folder / f".{name}.parquet.tmp-{os.getpid()}"
    try:
        with temporary.open("wb") as handle:
            pq.write_table(arrow, handle)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def read_table(folder: Path, name: str) -> pd.DataFrame:
    """A table as ``pd.read_parquet`` gives it. Raises ResultsError: not a study folder, damaged, or of a newer kind."""
    return _arrow(folder, name).to_pandas()


def read_rows(folder: Path, name: str) -> list[dict[str, Any]]:
    """The rows as plain dicts; an absent table has none."""
    return _arrow(folder, name).to_pylist() if (folder / f"{name}.parquet").exists() else []


def _arrow(folder: Path, name: str) -> pa.Table:
    file = folder / f"{name}.parquet"
    if not file.is_file():
        raise ResultsError(f"{str(folder)!r} is not a study's folder: it has no {name}.parquet{_nearby(folder)}")
    try:
        found = pq.read_table(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise ResultsError(f"{file} is damaged: {error}") from error
    version = int((found.schema.metadata or {}).get(b"schema_version", b"0"))
    if version > SCHEMA_VERSION:
        raise ResultsError(
            f"{file} has schema {version}; this version reads up to {SCHEMA_VERSION}: update autogan-ray"
        )
    return found


def _nearby(folder: Path) -> str:
    close = list_studies(folder) or list_studies(folder.parent)
    return "; studies near it: " + ", ".join(str(one) for one in close) if close else ""


def append_rows(folder: Path, name: str, rows: Sequence[Row], provenance: Mapping[str, str] | None = None) -> Path:
    """Add rows; one with the key of an older row takes its place."""
    table = TABLES[name]

    def key(row: Row) -> tuple[Any, ...]:
        return tuple(row[column] for column in table.key)

    fresh = {key(row) for row in rows}
    kept = [row for row in read_rows(folder, name) if key(row) not in fresh]
    return write_table(folder, name, [*kept, *rows], provenance)


def list_studies(folder: Path) -> list[Path]:
    """Sub-folders that hold a study, by name."""
    return sorted(file.parent for file in folder.glob("*/studies.parquet")) if folder.is_dir() else []


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
        return str(self.studies["name"].iloc[0])

    @property
    def config(self) -> dict[str, Any]:
        """The study's configuration as it was run."""
        found: dict[str, Any] = json.loads(self.studies["config_json"].iloc[0])
        return found

    @property
    def best(self) -> pd.Series:
        """The row of ``trials`` with the best evaluation. Raises ResultsError while there is none."""
        best_id = self.studies["best_trial_id"].iloc[0]
        trials = self.trials
        if best_id is None or trials.empty:
            raise ResultsError(f"study {str(self.folder)!r} has no scored trial yet")
        return trials[trials["trial_id"] == best_id].iloc[0]


def load_study(folder: str | Path) -> Study:
    """A study by its folder, finished or running. Raises ResultsError where there is none."""
    study = Study(Path(folder))
    _ = study.studies
    return study
