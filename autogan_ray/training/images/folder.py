"""Images below a folder, with the classes that its first level of sub-folders names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from autogan_ray.base.errors import DataError
from autogan_ray.training.images.listing import Listing, chosen_split, split_named

ENDINGS = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".webp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".jp2"),
)
_FEW = 5
"""Folders that are named one by one in a message."""
_SYSTEM = ("__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "@eadir", "lost+found")


def endings() -> tuple[str, ...]:
    """Returns the endings of image files that are read here, in small letters."""
    from PIL import features

    return (*ENDINGS, ".avif") if features.check("avif") else ENDINGS


def folder_listing(path: Path, source: str, split: str | None) -> Listing:
    """Lists the images below a folder, in the order of their relative paths.

    The first level of sub-folders gives the classes, unless an image lies beside them. Folders named ``train``,
    ``test`` and the like above them are splits, and no classes. Links are followed. Hidden files and those of an
    operating system are left out, and so is what has no ending of an image.

    Args:
        split: ``data.split`` (:func:`chosen_split`).

    Raises:
        DataError: not a folder, no images, a link that leads nowhere, a split that is not there or not clear, or
            ``all`` of a folder in which some folders are called as splits and some are not.
    """
    if not path.is_dir():
        raise DataError(f"data {source!r}: {path} is not a folder")
    left_out: Counter[str] = Counter()
    files = sorted(_image_files(path, left_out))
    if not files:
        beside = f"; left out: {said(left_out)}" if left_out else ""
        raise DataError(
            f"data {source!r}: no images below {path}; files ending {', '.join(endings())} are read{beside}"
        )
    parts = [file.relative_to(path).parts for file in files]
    if _has_splits(parts, split, source):
        splits = [split_named(names[0]) if len(names) > 1 else None for names in parts]
        wanted = chosen_split(splits, split, source)
        kept = [index for index, found in enumerate(splits) if wanted in (None, found)]
        for name, count in Counter(found for found in splits if wanted not in (None, found)).items():
            left_out[f"of the split {name}" if name else "of no split"] += count
        files, parts = [files[index] for index in kept], [parts[index][1:] or parts[index] for index in kept]
    for file in files:
        if not file.exists():
            raise DataError(f"data {source!r}: {file} is a link that leads nowhere; mend or remove it")
    loose = sum(len(names) == 1 for names in parts)
    labels = None if loose else [names[0] for names in parts]
    remark = f"no labels, as {loose:,} of them lie beside the folders" if 0 < loose < len(parts) else ""

    def encoded(indices: np.ndarray) -> Iterator[tuple[str, bytes]]:
        for index in indices:
            try:
                yield str(files[index]), files[index].read_bytes()
            except OSError as error:
                raise DataError(f"data {source!r}: {files[index]} cannot be read: {error.strerror}") from error

    return Listing(len(files), labels, encoded, (), f"data {source!r}", left_out, remark)


def _has_splits(parts: list[tuple[str, ...]], asked: str | None, source: str) -> bool:
    """Returns whether the first level of sub-folders are splits: all are called so, or one of them is asked for.

    A class may be called ``train`` beside ``bus``: such folders are classes, of which ``all`` cannot tell whether to
    take off the first level.
    """
    first = {names[0] for names in parts if len(names) > 1}
    others = sorted(name for name in first if split_named(name) is None)
    if asked == "all" and 0 < len(others) < len(first):
        splits = ", ".join(sorted(first - {*others}))
        more = f" and {len(others) - _FEW} more" if len(others) > _FEW else ""
        raise DataError(
            f"data.split = 'all': data {source!r} has folders called as splits ({splits}) beside others "
            f"({', '.join(others[:_FEW])}{more}); leave data.split out if all of them are classes, else move the "
            "others"
        )
    return asked not in (None, "all") or (bool(first) and not others)


def _image_files(path: Path, left_out: Counter[str]) -> Iterator[Path]:
    """Yields the image files below a folder, through links; counts what it leaves out."""
    known = endings()
    ways = {path: frozenset({path.resolve()})}  # folder -> all folders on the way to it: a link to one is a loop
    for folder, folders, names in os.walk(path, followlinks=True):
        here = Path(folder)
        for name in list(folders):
            below = here / name
            target = below.resolve()
            if _hidden(name):
                left_out["hidden or system folders"] += 1
            elif target in ways[here]:
                left_out["links to a folder above"] += 1
            else:
                ways[below] = ways[here] | {target}
                continue
            folders.remove(name)
        for name in names:
            ending = Path(name).suffix.lower()
            if _hidden(name):
                left_out["hidden or system files"] += 1
            elif ending in known:
                yield here / name
            else:
                left_out[f"files ending {ending}" if ending else "files without an ending"] += 1


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _SYSTEM


def said(left_out: Counter[str]) -> str:
    """Returns what was left out as one line, the most first: "3 hidden or system files, 1 of the split test"."""
    return ", ".join(f"{count:,} {why}" for why, count in left_out.most_common())
