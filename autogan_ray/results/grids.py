"""Pictures in a study's folder: images of the same z at each evaluation, side by side in a small PNG.

``reals.png`` shows real images, ``grids/t0003/0009.png`` those of trial t0003 at its evaluation 9 (evaluation 0: before
the first step; the first trial alone has it), ``retrain/…/grids/000016.000.png`` those of a retraining at 16 kimg.
"""

from __future__ import annotations

import io
import math
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from autogan_ray.base.files import replacing

if TYPE_CHECKING:
    import numpy as np

    from autogan_ray.results.trial_log import TrialLog

FOLDER = "grids"
REALS = "reals.png"
COLUMNS = 8
GAP, GREY = 1, 128
"""Pixels between two images, and their brightness, which neither dark nor light images have at their edges."""


def encode_grid(images: np.ndarray) -> bytes:
    """Returns a PNG of uint8 images [N, 1 or 3, H, W], eight in a row, at their own size."""
    import numpy as np
    from PIL import Image

    count, channels, height, width = images.shape
    rows = -(-count // COLUMNS)
    sides = rows * (height + GAP) - GAP, min(count, COLUMNS) * (width + GAP) - GAP
    canvas = np.full((*sides, channels), GREY, dtype=np.uint8)
    for index, image in enumerate(images):
        top, left = (index // COLUMNS) * (height + GAP), (index % COLUMNS) * (width + GAP)
        canvas[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(canvas.squeeze(-1) if channels == 1 else canvas).save(file, "PNG")
    return file.getvalue()


def decode_grid(png: bytes) -> np.ndarray:
    """Returns a picture as uint8 [1 or 3, H, W]."""
    import numpy as np
    from PIL import Image

    return np.atleast_3d(np.asarray(Image.open(io.BytesIO(png)))).transpose(2, 0, 1)


def write_grid(file: Path, png: bytes) -> None:
    """Replaces a picture in one step; its folder is made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as handle:
        handle.write(png)


def grid_file(study: Path, trial_id: str, evaluation: int) -> Path:
    """Returns where the picture of a trial's evaluation lies."""
    return study / FOLDER / trial_id / f"{evaluation:04d}.png"


def curve_grid_file(retraining: Path, kimg: float) -> Path:
    """Returns where the picture of a retraining lies, by the folder of the retraining and the kimg of the score."""
    return retraining / FOLDER / f"{kimg:010.3f}.png"


def grids_of(folder: Path) -> dict[float, Path]:
    """Returns the pictures of a trial or a retraining, by evaluation or kimg in order.

    Args:
        folder: that holds them, such as ``grids/t0003``.
    """
    files = [file for file in folder.glob("*.png") if re.fullmatch(r"\d+(\.\d+)?", file.stem)]
    return dict(sorted((float(file.stem), file) for file in files))


class GridsKept:
    """Keeps the pictures of the trials that run, and of the best that have ended; removes all others.

    Those of the first trial's untrained generator stay, as they stand for all.

    Args:
        keep: how many of the trials that have ended keep theirs.
    """

    def __init__(self, study: Path, keep: int) -> None:
        self._study, self._keep = study, keep
        self._best: list[tuple[float, str]] = []

    def ended(self, log: TrialLog) -> None:
        """Takes notice of a trial that has ended, in this run or in an earlier one."""
        score = math.inf if log.best is None else log.best["fid"]
        known = {trial_id: fid for fid, trial_id in self._best} | {log.trial_id: score}
        self._best = sorted((fid, trial_id) for trial_id, fid in known.items())
        while len(self._best) > self._keep or (self._best and self._best[-1][0] == math.inf):
            self._remove(self._best.pop()[1])

    def _remove(self, trial_id: str) -> None:
        folder = self._study / FOLDER / trial_id
        untrained = grid_file(self._study, trial_id, 0)
        for file in grids_of(folder).values():
            if file != untrained:
                file.unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)
