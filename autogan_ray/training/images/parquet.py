"""Encoded images in a column of Parquet files, one file or many shards."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autogan_ray.base.errors import DataError, nearest
from autogan_ray.config.sections import DataConfig
from autogan_ray.training.images.listing import Listing, chosen_split, split_named

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

IMAGE_COLUMNS = ("image", "img", "images", "picture", "jpg", "png")
LABEL_COLUMNS = ("label", "labels", "class", "target")
NO_LABELS = "none"
"""``data.label_column`` of a study that uses no labels."""


def parquet_listing(path: Path, data: DataConfig) -> Listing:
    """Lists the rows of a Parquet file, or of all below a folder in the order of their relative paths.

    Shards named as ``train-00000-of-00002.parquet``, or in a folder ``train``, belong to that split. Labels are read
    here, images when they are asked for, row group by row group.

    Args:
        data: its ``split`` (:func:`chosen_split`); its ``image_column``, where None takes the first of
            ``IMAGE_COLUMNS`` that is there, or the only column that holds bytes; its ``label_column``, where None takes
            the first of ``LABEL_COLUMNS`` that is there, else none, and ``none`` takes none.

    Raises:
        DataError: no or damaged files, columns that are not there, a split that is not there or not clear, shards
            whose labels are in different columns or have different names.
    """
    source = data.source
    left_out: Counter[str] = Counter()
    files = _shards(path, source, data.split, left_out)
    readers = [_opened(file, source) for file in files]
    image_names = [_image_column(reader.schema_arrow, data.image_column, file, source) for file, reader in readers]
    label_names = [_label_column(reader.schema_arrow, data.label_column, file, source) for file, reader in readers]
    column = _same_column(files, label_names, source)
    names = _same_class_names(readers, column, source)
    labels: list[Any] | None = None if column is None else []
    for file, reader in readers:
        if labels is not None and column is not None:
            for _, batch in _batches(file, reader, column, range(reader.num_row_groups), source):
                with _damage(file, f"is damaged in column {column!r}", source):
                    labels += batch.to_pylist()
    first = np.concatenate([[0], np.cumsum([reader.metadata.num_rows for _, reader in readers])])

    def encoded(indices: np.ndarray) -> Iterator[tuple[str, bytes]]:
        for (file, reader), name, start, end in zip(readers, image_names, first[:-1], first[1:], strict=True):
            rows = indices[(indices >= start) & (indices < end)] - start
            yield from _images(file, reader, name, rows, source)

    place = f"data {source!r}: column {column!r}"
    return Listing(int(first[-1]), labels, encoded, names, place, left_out)


def _shards(path: Path, source: str, split: str | None, left_out: Counter[str]) -> list[Path]:
    files = [path]
    if path.is_dir():
        below = sorted(path.rglob("*.parquet"))
        files = [file for file in below if not any(part.startswith(".") for part in file.relative_to(path).parts)]
        left_out["hidden files"] += len(below) - len(files)
        left_out += Counter()  # drops zeros
    if not files or not files[0].is_file():
        raise DataError(f"data {source!r}: no Parquet file at {path}")
    if not path.is_dir():
        return files
    splits = [_split_of(file.relative_to(path)) for file in files]
    wanted = chosen_split(splits, split, source)
    for name, count in Counter(found for found in splits if wanted not in (None, found)).items():
        left_out[f"shards of the split {name}" if name else "shards of no split"] += count
    return [file for file, found in zip(files, splits, strict=True) if wanted in (None, found)]


def _split_of(file: Path) -> str | None:
    """Returns the split of a shard: by the first word of its name, else by the folders above it."""
    words = [re.split(r"[-_.]", file.stem)[0], *reversed(file.parts[:-1])]
    return next((split for word in words if (split := split_named(word))), None)


@contextlib.contextmanager
def _damage(file: Path, what: str, source: str) -> Iterator[None]:
    """Turns whatever Arrow raises for damaged bytes into an error that names the place."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # Arrow has errors of its own and passes on those of the system and of Python
        raise DataError(f"data {source!r}: {file} {what}: {' '.join(str(error).split())[:200]}") from error


def _opened(file: Path, source: str) -> tuple[Path, pq.ParquetFile]:
    import pyarrow.parquet as pq

    with _damage(file, "is not Parquet", source):
        reader = pq.ParquetFile(file, page_checksum_verification=True)
        _ = reader.schema_arrow, reader.metadata.num_rows
        return file, reader


def _image_column(schema: pa.Schema, asked: str | None, file: Path, source: str) -> str:
    names = schema.names
    if asked is not None:
        if asked not in names:
            raise DataError(f"data.image_column = {asked!r}: {file} has no such column; {nearest(asked, names)}")
        return asked
    known = [name for name in IMAGE_COLUMNS if name in names]
    holding = known or [field.name for field in schema if _holds_bytes(field.type)]
    if not known and len(holding) != 1:
        raise DataError(
            f"data {source!r}: {file} has no column 'image'; its columns: {', '.join(names)}; name the one that holds "
            "encoded images by data.image_column"
        )
    return holding[0]


def _holds_bytes(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(kind.field(index).name == "bytes" for index in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _label_column(schema: pa.Schema, asked: str | None, file: Path, source: str) -> str | None:
    names = schema.names
    if asked == NO_LABELS and asked not in names:
        return None
    if asked is not None:
        if asked not in names:
            raise DataError(f"data.label_column = {asked!r}: {file} has no such column; {nearest(asked, names)}")
        return asked
    return next((name for name in LABEL_COLUMNS if name in names), None)


def _same_column(files: Sequence[Path], names: Sequence[str | None], source: str) -> str | None:
    """Returns the column that holds the labels of all files; None where they have none."""
    for file, name in zip(files, names, strict=True):
        if name != names[0]:
            first, other = (f"in column {name!r}" if name else "in no column" for name in (names[0], name))
            raise DataError(
                f"data {source!r}: labels are {first} of {files[0]}, but {other} of {file}; give the column of the "
                "classes, which all files have, by data.label_column, or 'none' to use no labels"
            )
    return names[0]


def _same_class_names(
    readers: Sequence[tuple[Path, pq.ParquetFile]], column: str | None, source: str
) -> tuple[str, ...]:
    """Returns the names of the classes that the first file gives, which no file contradicts."""
    if column is None:
        return ()
    named = [(file, _class_names(reader.schema_arrow, column)) for file, reader in readers]
    saying = [(file, names) for file, names in named if names]
    for file, names in saying:
        if names != saying[0][1]:
            number = next(at for at, both in enumerate(zip_longest(names, saying[0][1])) if both[0] != both[1])
            first, other = (repr(one[number]) if number < len(one) else "no class" for one in (saying[0][1], names))
            raise DataError(
                f"data {source!r}: in column {column!r} the number {number} is {first} in {saying[0][0]}, but {other} "
                f"in {file}; write the files with one list of class names, or set data.label_column to 'none' to use "
                "no labels"
            )
    return named[0][1]


def _batches(
    file: Path, reader: pq.ParquetFile, column: str, groups: Sequence[int], source: str
) -> Iterator[tuple[int, pa.Array]]:
    """Yields (row group, values) of a column of some row groups, in batches, so that memory is bounded."""
    for group in groups:
        with _damage(file, f"is damaged in row group {group}", source):
            for batch in reader.iter_batches(512, row_groups=[group], columns=[column]):
                batch.validate(full=True)  # offsets and texts, which Arrow takes from the file as they are
                yield group, batch.column(0)


def _images(
    file: Path, reader: pq.ParquetFile, column: str, rows: np.ndarray, source: str
) -> Iterator[tuple[str, bytes]]:
    """Yields (name, encoded bytes) of the given rows of a file, int64 [n], sorted."""
    sizes = [reader.metadata.row_group(group).num_rows for group in range(reader.num_row_groups)]
    first = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    for group in range(reader.num_row_groups):
        wanted = rows[(rows >= first[group]) & (rows < first[group + 1])]
        start = int(first[group])
        for _, batch in _batches(file, reader, column, [group] if len(wanted) else [], source):
            here = wanted[(wanted >= start) & (wanted < start + len(batch))]
            for row in here:
                name = f"{file}, row {row}"
                yield name, _bytes_of(batch[int(row) - start].as_py(), column, name)
            start += len(batch)
        if len(wanted) and start != first[group + 1]:
            raise DataError(
                f"{file} is damaged in row group {group}: it has {start - first[group]} rows, and its footer says "
                f"{sizes[group]}"
            )


def _bytes_of(cell: Any, column: str, name: str) -> bytes:
    encoded = cell.get("bytes") if isinstance(cell, dict) else cell
    if isinstance(encoded, bytes):
        return encoded
    if cell is None:
        raise DataError(f"{name} has no image: column {column!r} is null there")
    raise DataError(
        f"{name}: {column!r} holds {type(encoded).__name__}; encoded bytes or a struct with a field 'bytes' are wanted"
    )


def _class_names(schema: pa.Schema, column: str) -> tuple[str, ...]:
    """Returns the names of the classes where the library ``datasets`` wrote them into the file's metadata."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return tuple(map(str, features[column]["names"]))
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()
