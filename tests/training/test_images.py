"""Data: sources of every kind, the shared read-only block, halves and batches."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from autogan_ray.base.errors import DataError
from autogan_ray.config.sections import DataConfig
from autogan_ray.training.data import ImageData, check_enough, load_data
from autogan_ray.training.images import sources
from autogan_ray.training.streams import BatchStream, gather, to_uint8


def test_digits_are_the_real_ones(digits: ImageData) -> None:
    assert digits.images.shape == (1797, 1, 8, 8) and digits.images.max() == 255 and len(set(digits.labels)) == 10
    assert load_data(DataConfig()).digest == digits.digest and load_data(DataConfig(limit=5)).digest != digits.digest


def test_digits_come_from_the_librarys_file_as_the_library_gives_them(
    digits: ImageData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from sklearn.datasets import load_digits

    found = load_digits()
    assert np.array_equal(digits.images[:, 0], np.rint(found.images * (255 / 16)).astype(np.uint8))
    assert np.array_equal(digits.labels, found.target)
    # Where a release keeps the file elsewhere, the library is asked.
    elsewhere = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: elsewhere)
    assert load_data(DataConfig()).digest == digits.digest


def test_reading_the_digits_does_not_import_the_library() -> None:
    script = (
        "import sys; from autogan_ray.training.data import DataConfig, load_data; "
        "load_data(DataConfig()); print(sorted(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "'sklearn'" not in found.stdout and "'numpy'" in found.stdout


def test_a_batch_is_a_copy_that_no_step_can_use_to_change_the_images(digits: ImageData) -> None:
    before = digits.images.copy()
    batch = gather(digits, np.arange(16))
    assert batch.min() >= -1 and batch.max() <= 1
    assert np.array_equal(to_uint8(batch).numpy(), before[:16])
    batch.fill_(77)
    assert np.array_equal(digits.images, before)
    with pytest.raises(ValueError, match="read-only"):
        digits.images[0] = 1


def test_a_setting_by_name_that_the_source_does_not_read_is_refused_and_one_of_a_stored_study_is_idle(
    digits: ImageData,
) -> None:
    with pytest.raises(DataError, match=r"data\.split = 'test' with data\.source = 'digits': that source"):
        load_data("digits", split="test")
    assert load_data(DataConfig(split="test", label_column="none")).digest == digits.digest


def test_batches_depend_on_the_position_alone_and_every_epoch_visits_each_image_once() -> None:
    indices = np.arange(100, 137)
    stream = BatchStream(indices, 5, seed=3)
    shown = [stream.indices_at(position) for position in range(0, 37 * 10, 5)]
    flat = np.concatenate(shown)
    for epoch in range(10):
        assert sorted(flat[37 * epoch : 37 * (epoch + 1)]) == list(indices)
    assert not np.array_equal(flat[:37], flat[37:74])
    for position in (185, 0, 360, 35):  # in any order, by another object
        assert np.array_equal(BatchStream(indices, 5, seed=3).indices_at(position), shown[position // 5])


def test_too_few_images_for_a_batch_are_counted(digits: ImageData) -> None:
    check_enough("digits", 1797, 898, halves=True)
    with pytest.raises(DataError, match="each half of it has 898: fewer than one batch of 899"):
        check_enough("digits", 1797, 899, halves=True)


def test_cifar10_is_read_from_torchvisions_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import CIFAR10

    with pytest.raises(DataError, match=r"'cifar10' cannot be read.*cifar-10-batches-py"):
        load_data(DataConfig(source="cifar10", root=str(tmp_path)), download=False)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(1, 6):
        batch = {"data": rng.integers(0, 256, (4, 3072), np.uint8), "labels": [index] * 4}
        (folder / f"data_batch_{index}").write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [str(i) for i in range(10)]}))
    # torchvision compares with the md5 of the real files.
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    found = load_data(DataConfig(source="cifar10", root=str(tmp_path)), download=False)
    assert found.images.shape == (20, 3, 32, 32) and found.labels.tolist() == [i for i in range(1, 6) for _ in range(4)]
    assert CIFAR10.base_folder == "cifar-10-batches-py"


def test_stl10_is_resized_to_48_px(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, count in (("train_X.bin", 2), ("unlabeled_X.bin", 3)):
        rng.integers(0, 256, (count, 3, 96, 96), np.uint8).tofile(folder / name)
    np.array([1, 2], np.uint8).tofile(folder / "train_y.bin")
    (folder / "class_names.txt").write_text("a\nb\n")
    (folder / "fold_indices.txt").write_text("0 1\n")
    monkeypatch.setattr("torchvision.datasets.stl10.check_integrity", lambda *_: True)
    found = load_data(DataConfig(source="stl10", root=str(tmp_path)), download=False)
    assert found.images.shape == (5, 3, 48, 48) and found.labels is None


def test_a_failing_download_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", fail)
    with pytest.raises(DataError, match=r"no network.*AUTOGAN_RAY_DATA or data\.root"):
        load_data(DataConfig(source="cifar10", root=str(tmp_path)))
