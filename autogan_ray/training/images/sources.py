"""Where images come from: data sets by name, folders and Parquet files, as uint8 arrays with class numbers."""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autogan_ray.base.errors import DataError, nearest
from autogan_ray.config.methods import listed
from autogan_ray.config.sections import DataConfig
from autogan_ray.training.images.class_labels import class_numbers
from autogan_ray.training.images.decoding import decode, pixels_of
from autogan_ray.training.images.folder import folder_listing, said
from autogan_ray.training.images.listing import Listing, check_split
from autogan_ray.training.images.parquet import parquet_listing
from autogan_ray.training.images.sampling import spread_sample

SOURCES = {
    "digits": "scikit-learn's handwritten digits, 1797 of 8x8 px, grey; no network",
    "cifar10": "CIFAR-10's 50,000 training images, 32x32 px",
    "stl10": "STL-10's 105,000 training and unlabelled images, resized to 48x48 px",
    "imagefolder:DIR": "all images below a folder; a level of sub-folders gives the labels",
    "parquet:FILE_OR_DIR": "encoded images in the column 'image' (bytes, or a struct with 'bytes'), optional 'label'",
}
_READ_BY = {
    "root": ("cifar10", "stl10"),
    "split": ("imagefolder", "parquet"),
    "image_column": ("parquet",),
    "label_column": ("parquet",),
}
"""Setting of ``[data]`` -> the kinds of source that read it. Settings that are not named here are read by every one."""
STL_SIZE = 48
_KNOWN = {"digits": (1797, 8, 1, 10), "cifar10": (50_000, 32, 3, 10), "stl10": (105_000, STL_SIZE, 3, 0)}
"""Source -> images, side in pixels, channels, classes."""
GLANCE = 256
"""So many images of a data set, spread over all of it, are decoded to know its form before a study starts."""
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Loaded:
    """What was read.

    Args:
        images: uint8 [N, C, H, W].
        labels: int64 [N] from 0 on; None where the data set has none.
        class_names: of the classes 0, 1, ...
        available: images that the data set has, of which N were taken.
        left_out: why files were left out -> how many.
        remark: why there are no labels, where some could be expected.
    """

    images: np.ndarray
    labels: np.ndarray | None
    class_names: tuple[str, ...] = ()
    available: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    remark: str = ""

    @property
    def about(self) -> list[str]:
        """What a user should know of the reading: what was not taken, and why."""
        lines = [self.remark] if self.remark else []
        return lines + ([f"left out: {said(self.left_out)}"] if self.left_out else [])


@dataclass(frozen=True)
class Glance:
    """What a data set looks like before it is loaded.

    Args:
        count: images that a study would use.
        image_size: side in pixels.
        classes: how many, 0 without labels.
        about: what a user should know, such as what was left out.
    """

    source: str
    count: int
    image_size: int
    channels: int
    classes: int
    about: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.count

    @property
    def gib(self) -> float:
        """Memory that the images take, in GiB: a byte for each pixel and channel."""
        return self.count * self.image_size**2 * self.channels / 2**30

    def described(self) -> str:
        """Returns the data set in one line."""
        classes = "no labels" if self.classes == 0 else f"{self.classes} class{'es' * (self.classes > 1)}"
        return described(self.source, self.count, self.image_size, self.channels, classes, self.about)


def described(source: str, count: int, image_size: int, channels: int, classes: str, about: Sequence[str]) -> str:
    """Returns a data set in one line, as in "digits: 1,797 images of 8x8 px, grey, 10 classes"."""
    colour = "grey" if channels == 1 else "colour"
    line = f"{source}: {count:,} images of {image_size}x{image_size} px, {colour}, {classes}"
    return "; ".join([line, *about])


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


def unread(data: DataConfig) -> list[str]:
    """Returns the names of the settings that the source does not read. Raises DataError for an unknown source."""
    kind, path = split_source(data.source)
    names = [name for name, kinds in _READ_BY.items() if kind not in kinds]
    return [*names, "split"] if kind == "parquet" and path is not None and path.is_file() else names


def check_settings(data: DataConfig) -> None:
    """Raises DataError for an unknown source or split, and for a setting that the source does not read."""
    for name in unread(data):
        value = getattr(data, name)
        if value is None:
            continue
        kinds = _READ_BY[name]
        if split_source(data.source)[0] in kinds:
            raise DataError(
                f"data.split = {value!r} with data.source = {data.source!r}: a single file has no splits; leave it "
                "out, or give the folder of all shards"
            )
        sources = listed(source for source in SOURCES if source.partition(":")[0] in kinds)
        raise DataError(
            f"data.{name} = {value!r} with data.source = {data.source!r}: that source does not read it; leave it out, "
            f"or take {sources}"
        )
    check_split(data.split)


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


def glance(data: DataConfig) -> Glance | None:
    """Returns what a data set looks like, from ``GLANCE`` of its images; None where it is not on this machine yet.

    Raises DataError as :func:`read` does.
    """
    if data.source in _KNOWN:
        count, side, channels, classes = _KNOWN[data.source]
        count = min(count, data.limit or count)
        return Glance(data.source, count, data.image_size or side, data.channels or channels, classes)
    if missing(data) is not None:
        return None
    some = data.model_copy(update={"limit": min(GLANCE, data.limit or GLANCE)})
    loaded = read(some, download=False)
    count = min(loaded.available, data.limit or loaded.available)
    channels, side = loaded.images.shape[1:3]
    about = [f"{len(loaded.images):,} of them looked at", *loaded.about]
    return Glance(data.source, count, side, channels, len(loaded.class_names), tuple(about))


def read(data: DataConfig, download: bool) -> Loaded:
    """Reads images and labels. Raises DataError as :func:`autogan_ray.training.data.load_data` describes."""
    kind, path = split_source(data.source)
    check_split(data.split)
    if path is None:
        return _known(kind, data, download)
    if kind == "imagefolder":
        return _decoded(folder_listing(path, data.source, data.split), data)
    return _decoded(parquet_listing(path, data), data)


def _known(kind: str, data: DataConfig, download: bool) -> Loaded:
    """Reads a data set that has a name, and takes as much of it as is wanted."""
    image_size = data.image_size
    images: np.ndarray
    labels: np.ndarray | None
    names: tuple[str, ...]
    if kind == "digits":
        (images, labels), names = _digits(), tuple(map(str, range(10)))
    else:
        images, labels = _torchvision(kind, data, download)
        names = CIFAR10_CLASSES if kind == "cifar10" else ()
        if kind == "stl10":
            image_size = image_size or STL_SIZE
    taken = spread_sample(len(images), labels, data.limit)
    fitted = _fitted(images[taken], image_size, data.channels)
    return Loaded(fitted, None if labels is None else labels[taken], names, len(images))


def _decoded(listing: Listing, data: DataConfig) -> Loaded:
    """Decodes the images of a folder or of Parquet files, as many as are wanted."""
    if not listing.count:
        raise DataError(f"data {data.source!r} has no images")
    labels, names = class_numbers(listing.labels or (), listing.class_names, listing.label_place)
    taken = spread_sample(listing.count, labels, data.limit)
    pictures: list[np.ndarray] = []
    first = ""
    for name, encoded in listing.encoded(taken):
        picture = decode(encoded, name)
        if data.image_size is None:
            first = first or f"{picture.width}x{picture.height}"
            _check_side(picture.size, name, first, data.source)
        wanted = data.channels or (1 if picture.mode == "L" else 3)
        pictures.append(pixels_of(picture, data.image_size or picture.width, wanted))
    channels = max(len(picture) for picture in pictures)  # any colour makes three
    images = np.empty((len(pictures), channels, *pictures[0].shape[1:]), np.uint8)
    for index, pixels in enumerate(pictures):
        images[index] = pixels  # grey levels fill all three channels
    labels = None if labels is None else labels[taken]
    return Loaded(images, labels, names, listing.count, listing.left_out, listing.remark)


def _check_side(size: tuple[int, int], name: str, first: str, source: str) -> None:
    width, height = size
    if f"{width}x{height}" != first:
        raise DataError(
            f"data {source!r}: {name} has {width}x{height} px, the first image {first}; set data.image_size (such as "
            f"{first.partition('x')[0]}) to resize all"
        )
    if width != height:
        raise DataError(
            f"data {source!r}: {name} has {width}x{height} px and is not square; set data.image_size to crop and "
            "resize all"
        )


def _digits() -> tuple[np.ndarray, np.ndarray]:
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


def _torchvision(kind: str, data: DataConfig, download: bool) -> tuple[np.ndarray, np.ndarray | None]:
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


def _fitted(images: np.ndarray, image_size: int | None, channels: int | None) -> np.ndarray:
    """Returns the images of a known set, resized or turned grey or coloured where the study wants it."""
    from PIL import Image as Pillow

    size, there = image_size or images.shape[2], images.shape[1]
    wanted = channels or there
    if (size, wanted) == (images.shape[2], there):
        return images
    pictures = (image[0] if there == 1 else image.transpose(1, 2, 0) for image in images)
    return np.stack([pixels_of(Pillow.fromarray(picture), size, wanted) for picture in pictures])
