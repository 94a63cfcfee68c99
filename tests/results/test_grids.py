"""Pictures hold the images that they are of, and those of poor trials make room."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autogan_ray.results.grids import (
    GridsKept,
    curve_grid_file,
    decode_grid,
    encode_grid,
    grid_file,
    grids_of,
    write_grid,
)
from autogan_ray.results.trial_log import ENDED, TrialLog


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [3, 8, 11])
def test_every_image_stands_in_the_picture_pixel_by_pixel(channels: int, count: int) -> None:
    images = np.random.default_rng(count).integers(0, 256, (count, channels, 5, 4), dtype=np.uint8)
    picture = np.asarray(Image.open(io.BytesIO(encode_grid(images)))).reshape(-1, min(count, 8) * 5 - 1, channels)
    for index, image in enumerate(images):
        top, left = index // 8 * 6, index % 8 * 5
        assert np.array_equal(picture, decode_grid(encode_grid(images)).transpose(1, 2, 0))
        assert np.array_equal(picture[top : top + 5, left : left + 4].transpose(2, 0, 1), image)


def test_pictures_are_found_in_order_by_evaluation_or_kimg(tmp_path: Path) -> None:
    for evaluation in (10, 2, 0):
        write_grid(grid_file(tmp_path, "t0003", evaluation), b"png")
    (tmp_path / "grids" / "t0003" / "other.png").write_bytes(b"")
    assert list(grids_of(tmp_path / "grids" / "t0003")) == [0, 2, 10]
    for kimg in (16.0, 0.0, 1.536):
        write_grid(curve_grid_file(tmp_path / "r", kimg), b"png")
    assert list(grids_of(tmp_path / "r" / "grids")) == [0, 1.536, 16]
    assert grids_of(tmp_path / "nothing") == {}


def a_log(number: int, fid: float, state: str) -> TrialLog:
    log = TrialLog(f"t{number:04d}")
    log.apply({"kind": "evaluation", "record": {"evaluation": 1, "attempt": 0, "fid": fid, "diverged": False}})
    log.apply({"kind": "status", "status": state})
    return log


def test_the_best_trials_and_those_that_run_keep_their_pictures(tmp_path: Path) -> None:
    states = [(50.0, "complete"), (10.0, "pruned"), (20.0, "complete"), (90.0, "running"), (70.0, "error")]
    logs = [a_log(number, fid, state) for number, (fid, state) in enumerate(states)]
    for log in logs:
        for evaluation in (0, 1):
            write_grid(grid_file(tmp_path, log.trial_id, evaluation), b"png")
    kept = GridsKept(tmp_path, 2)
    for log in logs:
        if log.state in ENDED:
            kept.ended(log)
    left = {folder.name: list(grids_of(folder)) for folder in (tmp_path / "grids").iterdir()}
    # The untrained generator's picture stands for all trials; a study makes it of its first trial alone.
    assert left == {"t0000": [0], "t0001": [0, 1], "t0002": [0, 1], "t0003": [0, 1], "t0004": [0]}
