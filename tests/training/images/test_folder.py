"""Folders of images as people have them: splits, links, hidden files, every ending, mixed colours."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from autogan_ray.base.errors import DataError
from autogan_ray.training.data import ImageData, load_data
from tests.training.images.pictures import encoded, folder, picture


def load(path: Path, **settings: object) -> ImageData:
    return load_data(f"imagefolder:{path}", download=False, **settings)


def test_the_first_level_of_folders_gives_classes_with_their_names(tmp_path: Path) -> None:
    for name in ("b/2.png", "a/x/1.png", "a/0.PNG"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(encoded(picture(len(name))))
    data = load(tmp_path)
    assert data.images.shape == (3, 3, 16, 16)
    assert data.labels is not None and data.labels.tolist() == [0, 0, 1] and data.class_names == ("a", "b")
    assert "2 classes (a: 2, b: 1)" in data.described()
    (tmp_path / "loose.png").write_bytes(encoded(picture(9)))
    assert load(tmp_path).labels is None and "1 of them lie beside the folders" in load(tmp_path).described()


def test_one_coloured_image_among_grey_ones_makes_three_channels_and_grey_levels_fill_them(tmp_path: Path) -> None:
    folder(tmp_path, each=2)
    grey = picture(5, mode="L")
    grey.save(tmp_path / "a/a.png")  # sorts first
    data = load(tmp_path)
    assert data.channels == 3 and (data.images[0] == np.asarray(grey)).all()
    assert load(tmp_path, channels=1).channels == 1
    for file in tmp_path.rglob("m*.png"):
        file.unlink()
    assert load(tmp_path).channels == 1


def test_files_of_every_usual_ending_are_read(tmp_path: Path) -> None:
    kinds = {"jfif": "JPEG", "jpe": "JPEG", "tif": "TIFF", "tiff": "TIFF", "gif": "GIF", "webp": "WEBP", "ppm": "PPM"}
    kinds |= {"tga": "TGA", "dib": "DIB"} | ({"avif": "AVIF"} if features.check("avif") else {})
    for ending, kind in kinds.items():
        (tmp_path / f"x.{ending.upper()}").write_bytes(encoded(picture(), kind))
    assert len(load(tmp_path)) == len(kinds)


def test_what_is_left_out_is_counted_and_told(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "a/._m000.png").write_bytes(b"\0\5\26\7")
    (tmp_path / "a/.DS_Store").write_bytes(b"x")
    (tmp_path / "a/Thumbs.db").write_bytes(b"x")
    (tmp_path / "a/notes.txt").write_text("x")
    for hidden in ("__MACOSX", ".ipynb_checkpoints"):
        folder(tmp_path / hidden)
    data = load(tmp_path)
    assert len(data) == 8 and data.class_names == ("a", "b")
    told = data.described()
    for part in ("3 hidden or system files", "2 hidden or system folders", "1 files ending .txt"):
        assert part in told


def test_folders_named_as_splits_are_no_classes_and_the_training_one_is_taken(tmp_path: Path) -> None:
    for number, (split, each) in enumerate((("Training", 3), ("test", 2))):
        folder(tmp_path / split, ("cat", "dog", "owl"), each)
        picture(999 + number).save(tmp_path / split / "cat" / "more.png")
    data = load(tmp_path)
    assert len(data) == 10 and data.class_names == ("cat", "dog", "owl")
    assert "7 of the split test" in data.described()
    assert len(load(tmp_path, split="test")) == 7 and len(load(tmp_path, split="all")) == 17
    assert load(tmp_path, split="all").class_names == ("cat", "dog", "owl")
    with pytest.raises(DataError, match=r"data.split = 'valid': .* no such split; its splits: test, train"):
        load(tmp_path, split="valid")
    with pytest.raises(DataError, match="'tset' is no split; did you mean 'test'"):
        load(tmp_path, split="tset")


def test_an_unclear_split_is_asked_for(tmp_path: Path) -> None:
    folder(tmp_path / "val"), folder(tmp_path / "test")
    with pytest.raises(DataError, match=r"no training split, only test, validation; set data.split"):
        load(tmp_path)
    assert len(load(tmp_path, split="val")) == 8
    folder(tmp_path / "train")
    picture().save(tmp_path / "loose.png")
    with pytest.raises(DataError, match=r"some of it belongs to splits .*, some to none"):
        load(tmp_path)


def test_a_class_may_be_called_as_a_split_among_other_classes(tmp_path: Path) -> None:
    assert load(folder(tmp_path, ("bus", "train"))).class_names == ("bus", "train")


def test_all_of_a_folder_without_splits_is_all_of_it_with_its_classes(tmp_path: Path) -> None:
    folder(tmp_path, ("robin", "wren"))
    folder(tmp_path / "wren", ("more",))
    data = load(tmp_path, split="all")
    assert data.class_names == ("robin", "wren") and data.digest == load(tmp_path).digest
    with pytest.raises(DataError, match=r"data.split = 'test': .* no such split; its splits: none"):
        load(tmp_path, split="test")


def test_all_is_refused_where_some_folders_are_splits_and_some_are_not(tmp_path: Path) -> None:
    folder(tmp_path, ("bus", "train"))
    with pytest.raises(DataError, match=r"'all': .* called as splits \(train\) beside others \(bus\); leave"):
        load(tmp_path, split="all")
    assert len(load(tmp_path, split="train")) == 4


def test_splits_without_classes_have_no_labels(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for index in range(3):
            picture(index).save(tmp_path / split / f"{index}.png")
    data = load(tmp_path)
    assert len(data) == 3 and data.labels is None


def test_links_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    there = folder(tmp_path / "elsewhere", ("x",))
    data = folder(tmp_path / "data", ("a",))
    (data / "b").symlink_to(there / "x")
    (data / "a" / "again").symlink_to(data)
    loaded = load(data)
    assert len(loaded) == 8 and loaded.class_names == ("a", "b")
    assert "1 links to a folder above" in loaded.described()
    (data / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match=r"gone\.png is a link that leads nowhere"):
        load(data)


@pytest.mark.parametrize("damage", ["torn", "text", "empty"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    file = folder(tmp_path) / "b/m002.png"
    file.write_bytes({"torn": file.read_bytes()[:60], "text": b"hello", "empty": b""}[damage])
    with pytest.raises(DataError, match=r"b/m002\.png cannot be decoded"):
        load(tmp_path)


def test_a_folder_without_images_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match=r"no images below .*\.png.*left out: 1 files ending \.txt"):
        load(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        load(tmp_path / "a.txt")


def test_a_limit_takes_of_every_class_by_its_share(tmp_path: Path) -> None:
    folder(tmp_path, ("a",), 12), folder(tmp_path, ("b", "c"), 6)
    data = load(tmp_path, limit=8)
    assert data.labels is not None and np.bincount(data.labels).tolist() == [4, 2, 2]
    assert data.digest == load(tmp_path, limit=8).digest and "8 taken of 24" in data.described()
    all_images = {image.tobytes() for image in load(tmp_path).images}
    assert {image.tobytes() for image in data.images} < all_images
    assert Image.open(io.BytesIO(encoded(picture()))).size == (16, 16)
