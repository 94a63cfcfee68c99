"""Paths in tables: relative to the study's folder for what lies in it, so that the folder can be copied and renamed."""

from __future__ import annotations

from pathlib import Path


def is_uri(text: str) -> bool:
    """Returns whether a text names a place in a bucket or another storage, as in ``s3://bucket/study``."""
    return "://" in text


def path_for_table(folder: Path, path: str) -> str:
    """Returns a path as tables and logs hold it: relative below the study's folder, elsewhere as it is.

    Args:
        folder: of the study.
        path: a path or a URI.
    """
    root = str(folder.resolve())
    return str(Path(path).relative_to(root)) if not is_uri(path) and Path(path).is_relative_to(root) else path


def path_from_table(folder: Path, path: str) -> str:
    """Returns where a path of a table leads: a path that can be opened from here, or a URI as it is.

    Tables of schema 1 hold absolute paths, or paths relative to where the command was typed. Where nothing lies there,
    the file of the same name in the same place of the study's folder is taken: the folder was moved.

    Args:
        folder: from which the table was read.
        path: as the table has it.
    """
    if is_uri(path):
        return path
    told = folder / path
    # Whatever a table names lies in a folder of its own, below ``tune`` or ``retrain``.
    moved = folder.joinpath(*Path(path).parts[-3:])
    return str(moved if not told.exists() and moved.exists() else told)
