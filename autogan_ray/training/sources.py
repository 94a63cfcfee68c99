"""Where images come from: a reader for each source, which returns uint8 [N, C, H, W] and labels or None."""

from __future__ import annotations

import importlib.util
import io
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autogan_ray.base.errors import DataError, nearest
from autogan_ray.config.sections import DataConfig

if TYPE_CHECKING:  # PIL is imported where it is used
    from PIL.Image import Image

Arrays = tuple[np.ndarray, np.ndarray | None]

SOURCES = {
    "digits": "scikit-learn's handwritten digits, 1797 of 8x8 px, grey; no network",
    "cifar10": "CIFAR-10's 50,000 training images, 32x32 px",
    "stl10": "STL-10's 105,000 training and unlabelled images, resized to 48x48 px",
    "imagefolder:DIR": "all images below a folder; a level of sub-folders gives the labels",
    "parquet:FILE_OR_DIR": "encoded images in the column 'image' (bytes, or a struct with 'bytes'), optional 'label'",
}
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
STL_SIZE = 48


def data_root(data: DataConfig) -> Path:
    """Returns the folder of downloaded sets: the study's, $AUTOGAN_RAY_DATA, or the user's cache."""
    return Path(data.root or os.environ.get("AUTOGAN_RAY_DATA") or Path.home() / ".cache" / "autogan_ray" / "data")


def split_source(source: str) -> tuple[str, Path | None]:
    """Splits a source into (kind, path or None). Raises DataError for an unknown source."""
    kind, _, path = source.partition(":")
    if kind in ("imagefolder", "parquet"):
        if not path:
            raise DataError(f"data source {source!r}: give a path, as in {kind}:/data/faces")
        return kind, Path(path).expanduser()
    if source not in SOURCES:
        raise DataError(f"unknown data source {source!r}; {nearest(source, SOURCES)}")
    return source, None


def missing(data: DataConfig) -> str | None:
    """Says what is not on this machine and how to get it, without loading it; None where all is there.

    Raises DataError for an unknown source.
    """
    (kind, path), root = split_source(data.source), data_root(data)
    if path is not None:
        return None if path.exists() else f"data {data.source!r}: {path} does not exist"
    folder = {"cifar10": "cifar-10-batches-py", "stl10": "stl10_binary"}.get(kind)
    if folder is None or (root / folder).is_dir():
        return None
    return (
        f"data {kind!r} is not in {root}: it is downloaded when the study starts; without a network put the folder "
        f"{folder} there, or set AUTOGAN_RAY_DATA or data.root"
    )


def form(data: DataConfig) -> tuple[int, int] | None:
    """Returns (side in pixels, channels) of the images of a data set, for which it reads one image at most.

    It returns None where the images are not there yet. Raises DataError.
    """
    known = {"digits": (8, 1), "cifar10": (32, 3), "stl10": (STL_SIZE, 3)}.get(data.source)
    if known is None and missing(data) is None:
        known = read_source(data.model_copy(update={"limit": 1}), download=False)[0].shape[:0:-2]
    return known and (data.image_size or known[0], data.channels or known[1])


def read_source(data: DataConfig, download: bool) -> Arrays:
    """Reads images and labels as :func:`autogan_ray.training.data.load_data` describes."""
    kind, path = split_source(data.source)
    if path is not None:
        return _decode_all((_folder if kind == "imagefolder" else _parquet)(path, data.source), data)
    images, labels = _digits() if kind == "digits" else _torchvision(kind, data, download)
    images, labels = images[: data.limit], None if labels is None else labels[: data.limit]
    return _fitted(images, data.image_size or (STL_SIZE if kind == "stl10" else None), data.channels), labels


def _digits() -> Arrays:
    table = _digits_table()
    images = np.rint(table[:, :64].reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    return images, table[:, 64].astype(np.int64)


def _digits_table() -> np.ndarray:
    """Returns float64 [1797, 65]: 64 pixels of 0 to 16 and the digit, read from scikit-learn's file.

    The library is imported only where its files lie elsewhere: that takes most of a second of a study's start.
    """
    package = importlib.util.find_spec("sklearn")
    for place in package.submodule_search_locations or () if package else ():
        file = Path(place, "datasets", "data", "digits.csv.gz")
        if file.is_file():
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.column_stack([digits.data, digits.target])


def _torchvision(kind: str, data: DataConfig, download: bool) -> Arrays:
    from torchvision import datasets

    root = data_root(data)
    try:
        if kind == "cifar10":
            cifar: Any = datasets.CIFAR10(str(root), train=True, download=download)
            return cifar.data.transpose(0, 3, 1, 2), np.asarray(cifar.targets, np.int64)
        return datasets.STL10(str(root), split="train+unlabeled", download=download).data, None  # most have no label
    except (RuntimeError, OSError) as error:  # urllib's errors are OSErrors
        hint = missing(data) or f"the files in {root} are damaged; remove them"
        raise DataError(f"data {kind!r} cannot be read: {error}; {hint}") from error


def _folder(path: Path, source: str) -> Iterator[tuple[str, bytes, int | None]]:
    """Yields (name, encoded bytes, label) of all images, in the order of their relative paths."""
    if not path.is_dir():
        raise DataError(f"data {source!r}: {path} is not a folder")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in ENDINGS)
    if not files:
        raise DataError(f"data {source!r}: no images below {path}; files ending {', '.join(ENDINGS)} are read")
    groups = [file.relative_to(path).parts[0] if file.parent != path else None for file in files]
    classes = sorted({group for group in groups if group is not None})
    labelled = None not in groups
    for file, group in zip(files, groups, strict=True):
        yield str(file), file.read_bytes(), classes.index(str(group)) if labelled else None


def _parquet(path: Path, source: str) -> Iterator[tuple[str, bytes, int | None]]:
    """Yields (name, encoded bytes, label) of all rows; it reads them in batches, so that memory is bounded."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise DataError(f"data {source!r}: no Parquet file at {path}")
    for file in files:
        try:
            table = pq.ParquetFile(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"data {source!r}: {file} is not Parquet: {error}") from error
        names = table.schema_arrow.names
        if "image" not in names:
            raise DataError(f"data {source!r}: {file} has no column 'image'; its columns: {', '.join(names)}")
        labelled = "label" in names
        row = 0
        for batch in table.iter_batches(512, columns=["image", "label"] if labelled else ["image"]):
            images = batch.column("image").to_pylist()
            labels = batch.column("label").to_pylist() if labelled else [None] * len(images)
            for image, label in zip(images, labels, strict=True):
                encoded = image.get("bytes") if isinstance(image, dict) else image
                if not isinstance(encoded, bytes):
                    raise DataError(
                        f"data {source!r}: {file}, row {row}: 'image' holds {type(encoded).__name__}; encoded bytes, "
                        "or a struct with a field 'bytes', are wanted"
                    )
                yield f"{file}, row {row}", encoded, label
                row += 1


def _decode_all(listed: Iterable[tuple[str, bytes, int | None]], data: DataConfig) -> Arrays:
    images: list[np.ndarray] = []
    labels: list[int | None] = []
    source, image_size, channels = data.source, data.image_size, data.channels
    for name, encoded, label in itertools.islice(listed, data.limit):
        image = _decode(encoded, name)
        channels = channels or (1 if image.mode in ("1", "L", "LA", "I", "I;16") else 3)
        if image_size is None and images and image.size != images[0].shape[:0:-1]:
            first = images[0].shape[2]
            raise DataError(
                f"data {source!r}: {name} has {image.width}x{image.height} px, the first image {first}x{first}; set "
                f"data.image_size (such as {first}) to resize all"
            )
        if image_size is None and image.width != image.height:
            raise DataError(
                f"data {source!r}: {name} has {image.width}x{image.height} px and is not square; set data.image_size "
                "to crop and resize all"
            )
        images.append(_pixels(image, image_size or image.width, channels))
        labels.append(label)
    if not images:
        raise DataError(f"data {source!r} has no images")
    whole = None if None in labels else np.asarray(labels, np.int64)
    return np.stack(images), whole


def _decode(encoded: bytes, name: str) -> Image:
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(encoded))
        image.load()
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DataError(f"{name} cannot be decoded as an image: {error}") from error
    return image


def _pixels(image: Image, size: int, channels: int) -> np.ndarray:
    """Returns uint8 [C, size, size]: cropped to the central square, then resized with antialiasing where necessary."""
    from PIL import Image as Pillow

    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (size, size):
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        box = (left, top, left + side, top + side)
        image = image.resize((size, size), Pillow.Resampling.BILINEAR, box=box, reducing_gap=None)
    pixels = np.asarray(image, np.uint8)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _fitted(images: np.ndarray, image_size: int | None, channels: int | None) -> np.ndarray:
    """Returns the images of a known set, resized or turned grey or coloured where the study wants it."""
    from PIL import Image as Pillow

    size, there = image_size or images.shape[2], images.shape[1]
    wanted = channels or there
    if (size, wanted) == (images.shape[2], there):
        return images
    pictures = (image[0] if there == 1 else image.transpose(1, 2, 0) for image in images)
    return np.stack([_pixels(Pillow.fromarray(picture), size, wanted) for picture in pictures])
