"""Parquet data sets as people have them: shards, splits, columns of any name, labels of any kind, damage."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autogan_ray.base.errors import DataError
from autogan_ray.training.data import ImageData, load_data
from autogan_ray.training.images.parquet import _images
from tests.training.images.pictures import encoded, picture, table


def load(path: Path, **settings: object) -> ImageData:
    return load_data(f"parquet:{path}", download=False, **settings)


@pytest.mark.parametrize(
    ("labels", "numbers", "names"),
    [
        (pa.array(["dog", "cat", "dog"]), [1, 0, 1], ("cat", "dog")),
        (pa.array(["dog", "cat", "dog"]).dictionary_encode(), [1, 0, 1], ("cat", "dog")),
        (pa.array([7, 300, 7]), [0, 1, 0], ("7", "300")),
        (pa.array([2**40, 5, 5]), [1, 0, 0], ("5", str(2**40))),
        (pa.array([True, False, True]), [1, 0, 1], ("False", "True")),
        (pa.array([1.0, 0.0, 1.0]), [1, 0, 1], ("0", "1")),
        (pa.array([b"x", b"y", b"x"]), [0, 1, 0], ("x", "y")),
        (pa.array([0, 0, 0], pa.uint8()), [0, 0, 0], ("0",)),
        (pa.array([-1, -1, -1]), None, ()),
        (pa.array([None, None, None], pa.int64()), None, ()),
        (pa.array(["", None, ""]), None, ()),
    ],
)
def test_labels_of_any_kind_become_numbers_with_their_names(
    tmp_path: Path, labels: Any, numbers: list[int] | None, names: tuple[str, ...]
) -> None:
    data = load(table(tmp_path / "a.parquet", labels))
    assert (None if data.labels is None else data.labels.tolist()) == numbers and data.class_names == names


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (pa.array([0.5, 1.0]), "column 'label' holds 0.5, which is no class"),
        (pa.array([float("inf"), 1.0]), "holds inf, which is no class"),
        (pa.array([[1], [2]]), r"holds list \(\[1\]\), which is no class"),
        (pa.array([{"a": 1}, {"a": 2}]), "holds dict"),
        (pa.array([0, -1]), r"no label \(null or -1\) for 1 of 2 images"),
        (pa.array(["a", None]), r"no label \(null or -1\) for 1 of 2 images"),
        (pa.array([float("nan"), 1.0]), r"no label \(null or -1\) for 1 of 2 images"),
    ],
)
def test_labels_that_are_no_classes_are_refused_with_a_way_on(tmp_path: Path, labels: Any, message: str) -> None:
    file = table(tmp_path / "a.parquet", labels)
    with pytest.raises(DataError, match=message) as refusal:
        load(file)
    assert "data.label_column" in str(refusal.value)
    assert load(file, label_column="none").labels is None


def test_the_names_that_the_library_datasets_wrote_are_kept(tmp_path: Path) -> None:
    features = {"label": {"names": ["airplane", "bird", "cat"], "_type": "ClassLabel"}}
    described = pa.table({"img": [encoded(picture(index)) for index in range(2)], "label": [2, 0]})
    described = described.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(described, tmp_path / "a.parquet")
    data = load(tmp_path)
    assert data.labels is not None and data.labels.tolist() == [2, 0]
    assert data.class_names == ("airplane", "bird", "cat") and data.classes == 2


def named(file: Path, names: list[str] | None) -> Path:
    """Writes a file of one image of the class 0, with the names of the classes as the library ``datasets`` does."""
    described = pq.read_table(table(file, [0]))
    if names is not None:
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        described = described.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(described, file)
    return file


@pytest.mark.parametrize(
    ("other", "message"),
    [(["dog", "cat"], "the number 0 is 'cat' in .*a.parquet, but 'dog' in .*b.parquet"),
     (["cat", "dog", "owl"], "the number 2 is no class in .*a.parquet, but 'owl' in .*b.parquet")],
)  # fmt: skip
def test_shards_that_call_a_class_differently_are_refused(tmp_path: Path, other: list[str], message: str) -> None:
    named(tmp_path / "a.parquet", ["cat", "dog"]), named(tmp_path / "b.parquet", other)
    with pytest.raises(DataError, match=message):
        load(tmp_path)
    assert load(tmp_path, label_column="none").labels is None
    for agreeing in (["cat", "dog"], None):
        named(tmp_path / "b.parquet", agreeing)
        assert load(tmp_path).class_names == ("cat", "dog")


def test_shards_whose_labels_are_in_different_columns_are_refused(tmp_path: Path) -> None:
    table(tmp_path / "a.parquet", [0, 1], fine=[3, 4])
    table(tmp_path / "b.parquet", images=[encoded(picture(5))], fine=[3])
    with pytest.raises(DataError, match=r"in column 'label' of .*a.parquet, but in no column of .*b.parquet; give"):
        load(tmp_path)
    table(tmp_path / "b.parquet", images=[encoded(picture(5))], fine=[3], target=[1])
    with pytest.raises(DataError, match=r"in column 'label' of .*a.parquet, but in column 'target' of .*b.parquet"):
        load(tmp_path)
    assert load(tmp_path, label_column="none").labels is None
    assert load(tmp_path, label_column="fine").class_names == ("3", "4")


@pytest.mark.parametrize("struct", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_images_are_bytes_or_structs_in_a_column_that_is_found(tmp_path: Path, struct: bool, mode: str) -> None:
    cells = [encoded(picture(index, 8, mode)) for index in range(600)]
    images: list[Any] = [{"bytes": cell, "path": None} for cell in cells] if struct else cells
    pd.DataFrame({"photo": images, "label": range(600)}).to_parquet(tmp_path / "a.parquet", row_group_size=70)
    data = load(tmp_path)
    assert data.images.shape == (600, 3 if mode == "RGB" else 1, 8, 8)
    assert data.labels is not None and data.labels.tolist() == list(range(600))
    for row in (0, 69, 70, 511, 512, 599):
        pixels = np.asarray(picture(row, 8, mode))
        assert np.array_equal(data.images[row].squeeze(), pixels.transpose(2, 0, 1) if mode == "RGB" else pixels)
    few = load(tmp_path / "a.parquet", limit=7, image_size=4, channels=1)
    assert few.images.shape == (7, 1, 4, 4)
    assert few.labels is not None and max(few.labels) > 400  # over all rows, not the first


def test_columns_can_be_named(tmp_path: Path) -> None:
    one, other = ([encoded(picture(index))] * 2 for index in range(2))
    table(tmp_path / "a.parquet", [0, 1], one, column="left", right=other, fine_label=["x", "x"])
    with pytest.raises(
        DataError, match=r"no column 'image'; its columns: left, label, right, fine_label; name the one"
    ):
        load(tmp_path)
    data = load(tmp_path, image_column="right", label_column="fine_label")
    assert np.array_equal(data.images[0].transpose(1, 2, 0), np.asarray(picture(1))) and data.class_names == ("x",)
    with pytest.raises(DataError, match=r"data.image_column = 'rigth': .* no such column; did you mean 'right'"):
        load(tmp_path, image_column="rigth")
    with pytest.raises(DataError, match=r"data.label_column = 'labl': .* no such column; did you mean 'label'"):
        load(tmp_path, image_column="left", label_column="labl")


@pytest.mark.parametrize("layout", ["{}-00000-of-00001.parquet", "{}/0000.parquet", "data/{}-0.parquet"])
def test_of_shards_of_splits_the_training_ones_are_read(tmp_path: Path, layout: str) -> None:
    table(tmp_path / layout.format("train"), [0, 1, 2])
    table(tmp_path / layout.format("test"), [-1, -1])
    data = load(tmp_path)
    assert len(data) == 3 and data.classes == 3 and "1 shards of the split test" in data.described()
    assert len(load(tmp_path, split="test")) == 2
    table(tmp_path / "more.parquet", [5])
    with pytest.raises(DataError, match="some of it belongs to splits"):
        load(tmp_path)


def test_shards_without_splits_are_read_in_order_and_hidden_ones_are_not(tmp_path: Path) -> None:
    for index in range(3):
        table(tmp_path / f"part-{index}.parquet", [10 + index])
    table(tmp_path / ".tmp/part-3.parquet", [99])
    data = load(tmp_path)
    assert data.class_names == ("10", "11", "12") and data.labels is not None and data.labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"image": ["text"]}, "'image' holds str"),
        ({"image": [b"junk"]}, "row 0 cannot be decoded"),
        ({"image": [None]}, "row 0 has no image: column 'image' is null"),
        ({"number": [1]}, "its columns: number"),
        ({"image": []}, "has no images"),
        ({"image": [encoded(picture()), encoded(picture(1, 9))]}, "row 1 has 9x9 px, the first image 16x16"),
    ],
)
def test_what_a_cell_can_get_wrong_is_named_with_file_and_row(tmp_path: Path, cells: dict, message: str) -> None:
    pd.DataFrame(cells).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_a_row_group_with_fewer_rows_than_its_footer_says_is_damaged(tmp_path: Path) -> None:
    file = table(tmp_path / "a.parquet", [0, 1])
    read, rows = pq.ParquetFile(file), np.arange(3)
    lying: Any = SimpleNamespace(
        num_row_groups=1,
        metadata=SimpleNamespace(row_group=lambda group: SimpleNamespace(num_rows=3)),
        iter_batches=read.iter_batches,
    )
    with pytest.raises(DataError, match=r"a\.parquet is damaged in row group 0: it has 2 rows, and its footer says 3"):
        list(_images(file, lying, "image", rows, "parquet:x"))


def test_a_file_that_is_no_parquet_or_damaged_within_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"hello")
    with pytest.raises(DataError, match=r"a\.parquet is not Parquet"):
        load(tmp_path)
    file = table(tmp_path / "a.parquet", list(range(80)))
    content = bytearray(file.read_bytes())
    content[200:3000] = bytes(byte ^ 0x5A for byte in content[200:3000])
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet (is damaged in row group 0|, row \d+)"):
        load(tmp_path)
    with pytest.raises(DataError, match="no Parquet file at"):
        load(tmp_path / "none.parquet")


def test_parquet_files_with_any_bytes_changed_are_read_or_refused(tmp_path: Path) -> None:
    whole = table(tmp_path / "a.parquet", [0, 1, 2]).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        content = np.frombuffer(whole, np.uint8).copy()
        places = rng.integers(0, len(content), rng.integers(1, 6))
        content[places] = rng.integers(0, 256, len(places))
        (tmp_path / "a.parquet").write_bytes(content.tobytes())
        try:
            data = load(tmp_path)
        except DataError as error:
            assert "a.parquet" in str(error)
        else:
            assert len(data) >= 1
