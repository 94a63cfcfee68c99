"""Writes and reads the table files of a study, each whole and in one step."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from autogan_ray.base.errors import ResultsError, nearest
from autogan_ray.base.files import replacing
from autogan_ray.base.reading import reading
from autogan_ray.results.schemas import SCHEMA_VERSION, TABLES, Column, Table

Row = Mapping[str, Any]
_VERSION = "schema_version"
BUILT_AGAIN = "the study's command with --resume builds it again"


class LostTable(ResultsError):
    """A table is missing or damaged."""


def write_table(
    folder: Path,
    name: str,
    rows: Sequence[Row],
    provenance: Mapping[str, str] | None = None,
    more: Sequence[Column] = (),
) -> Path:
    """Replaces ``folder/name.parquet`` in one step: a reader finds the old table or the new one.

    Columns that a row lacks are null. A failure leaves the old table as it was, and no temporary file.

    Args:
        folder: of the study; made where it is missing.
        name: of the table, one of ``TABLES``.
        rows: all rows; times must know their zone.
        provenance: text by name, for the file's metadata.
        more: columns that this study's table has behind those of its schema.

    Raises:
        AssertionError: our own mistakes: an unknown table or column, a key that is null or comes twice, a
            fraction in a count, a time without its zone.
        pyarrow.ArrowException: any other value that does not fit its column.
    """
    return write_arrow(folder, name, arrow_rows(name, rows, more), provenance)


def arrow_rows(name: str, rows: Sequence[Row], more: Sequence[Column] = ()) -> pa.Table:
    """Checks rows and converts them to what :func:`write_arrow` takes. Raises as :func:`write_table` does."""
    assert name in TABLES, f"no table {name!r}; {nearest(name, TABLES)}"
    table = TABLES[name].with_columns(more)
    return pa.Table.from_pydict(_columns(table, rows), schema=table.schema)


def write_arrow(folder: Path, name: str, rows: pa.Table, provenance: Mapping[str, str] | None = None) -> Path:
    """Writes what :func:`arrow_rows` returned; keys are not checked again."""
    with row_groups(folder, name, rows.schema, provenance) as add:
        add(rows)
    return table_file(folder, name)


@contextmanager
def row_groups(
    folder: Path, name: str, schema: pa.Schema, provenance: Mapping[str, str] | None = None
) -> Iterator[Callable[[pa.Table], int]]:
    """Replaces ``folder/name.parquet`` when the block ends, group by group, so that few rows are held in memory.

    Gives a function that adds rows of this schema as a row group of their own; it returns the number of row groups
    that it added, none where there are no rows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    told = schema.with_metadata({_VERSION: str(SCHEMA_VERSION), **(provenance or {})})
    with (
        replacing(table_file(folder, name)) as handle,
        pq.ParquetWriter(handle, told, write_page_checksum=True) as writer,
    ):

        def add(rows: pa.Table) -> int:
            if len(rows):
                writer.write_table(rows.replace_schema_metadata(told.metadata), row_group_size=len(rows))
            return int(len(rows) > 0)

        yield add


def _columns(table: Table, rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Returns name -> values, checked for what Arrow lets pass: unknown columns, doubled keys, and so on."""
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


def read_rows(folder: Path, name: str) -> list[dict[str, Any]]:
    """Returns the rows as plain dicts; an absent table has none. Raises ResultsError as :func:`load_table` does."""
    if name in TABLES and not table_file(folder, name).exists():
        return []
    return load_table(folder, name).to_pylist()


def is_lost(folder: Path, name: str) -> bool:
    """Returns whether a table is missing or damaged. Raises ResultsError for a table that a newer version wrote."""
    try:
        load_table(folder, name)
    except LostTable:
        return True
    return False


def read_provenance(folder: Path, name: str) -> dict[str, str]:
    """Returns the ``provenance`` that the table was written with. Raises ResultsError as :func:`load_table` does."""
    metadata = _metadata(load_table(folder, name))
    return {key: value for key, value in metadata.items() if key != _VERSION}


def table_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.parquet"


def _metadata(table: pa.Table) -> dict[str, str]:
    metadata = table.schema.metadata or {}
    return {key.decode(errors="replace"): value.decode(errors="replace") for key, value in metadata.items()}


def load_table(folder: Path, name: str) -> pa.Table:
    """Reads a table as it is at one moment, even while it is being replaced; columns that an older file lacks are null.

    The file is opened once: pyarrow would open it twice, and break where it is replaced in between.

    Raises ResultsError for an unknown table or one that a newer version wrote, LostTable for one that is missing or
    damaged.
    """
    if name not in TABLES:
        raise ResultsError(f"no table {name!r}; {nearest(name, TABLES)}")
    return load_file(table_file(folder, name), name)


def load_file(file: Path, name: str) -> pa.Table:
    """Reads a file of the table ``name`` wherever it lies. Raises as :func:`load_table` does."""
    try:
        data = file.read_bytes()
    except FileNotFoundError as error:
        raise LostTable(f"{str(file.parent)!r} has no {file.name}; is the study just starting?") from error
    except OSError as error:
        raise ResultsError(f"{file} cannot be read: {error.strerror}") from error
    with reading(file, LostTable, f"; {BUILT_AGAIN}"):
        table = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True).read()
        table.validate(full=True)  # offsets and texts, which Arrow takes from the file as they are
        version = _metadata(table).get(_VERSION, "")
    if not version.isdecimal() or not version.isascii() or len(version) > 9:
        raise ResultsError(f"{file} was not written by autogan-ray: its metadata has no {_VERSION}")
    if int(version) > SCHEMA_VERSION:
        raise ResultsError(f"{file} has schema {version}; this autogan-ray reads up to {SCHEMA_VERSION}: update it")
    schema = TABLES[name].schema
    with reading(file, LostTable, f"; {BUILT_AGAIN}"):
        if absent := [key for key in TABLES[name].key if key not in table.schema.names]:
            raise ResultsError(f"{file} is no table {name!r}: it has no {' and no '.join(absent)}")
        if table.schema.names[: len(schema)] != schema.names:
            table = _with_new_columns(table, schema)
        _check_values(file, table, schema)
    return table


def _check_values(file: Path, table: pa.Table, schema: pa.Schema) -> None:
    """Raises LostTable for a column of another type than its schema's, and for a null in a key."""
    if len(set(table.schema.names)) < len(table.schema):
        raise LostTable(f"{file} has a column twice; {BUILT_AGAIN}")
    for field in schema:
        column = table[field.name]
        if column.type != field.type and not pa.types.is_null(column.type):
            raise LostTable(f"{file}: column {field.name!r} holds {column.type}, not {field.type}; {BUILT_AGAIN}")
        if column.null_count and not field.nullable:
            raise LostTable(f"{file}: column {field.name!r} names rows and is null in one; {BUILT_AGAIN}")


def _with_new_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Returns a table of an older schema with the columns that came since, all null; its own further ones stand last"""
    there = set(table.schema.names)
    for field in table.schema:
        if field.name not in schema.names:
            schema = schema.append(field)
    columns = [table[field.name] if field.name in there else pa.nulls(len(table), field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema.with_metadata(table.schema.metadata))
