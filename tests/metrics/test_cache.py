"""The cache: what was computed once is read again, and only as it was written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from autogan_ray.metrics.cache import cached
from autogan_ray.metrics.extractors.base import ExtractorWeights
from autogan_ray.metrics.measure import real_set
from autogan_ray.training.data import ImageData

ONES = torch.ones(1000)


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "torn": lambda content: content[: len(content) // 2],
    "emptied": lambda content: b"",
    "of an earlier version": lambda content: content[32:],
    "a bit of the checksum": lambda content: flipped(content, 5),
    "a bit of a number": lambda content: flipped(content, content.index(ONES.numpy().tobytes()) + 2000),
    "the last bit": lambda content: flipped(content, len(content) - 1),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTOGAN_RAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_made_again_and_a_sound_one_is_read(cache: Path, damage: str) -> None:
    made = []

    def make() -> dict[str, object]:
        made.append(damage)
        return {"ones": ONES, "count": 3}

    def check(times: int) -> None:
        content = cached("thing", "of this key", make)
        assert torch.equal(content["ones"], ONES) and content["count"] == 3 and len(made) == times

    check(times=1)
    check(times=1)
    (file,) = cache.iterdir()
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    check(times=2)
    check(times=2)


def test_another_key_has_another_file(cache: Path) -> None:
    assert cached("thing", "one", lambda: {"count": 1}) != cached("thing", "other", lambda: {"count": 2})
    assert len(list(cache.iterdir())) == 2


def test_statistics_of_real_images_that_were_altered_are_computed_again(
    cache: Path, digits: ImageData, extractor_weights: ExtractorWeights
) -> None:
    real = real_set(digits, extractor_weights, 300, "cpu")
    (file,) = cache.iterdir()
    content = file.read_bytes()
    covariance = real.statistics.covariance.tobytes()
    file.write_bytes(flipped(content, content.index(covariance) + len(covariance) // 2 + 7))
    again = real_set(digits, extractor_weights, 300, "cpu")
    assert (again.statistics.covariance == real.statistics.covariance).all()
    assert file.read_bytes() == content
