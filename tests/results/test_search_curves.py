"""Curves as the tables have them: the pace of a trial, where it diverged, and what its study says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autogan_ray.metrics.diverged import DIVERGED_FID
from autogan_ray.results.search_curves import Recording, pooled, read_recording
from autogan_ray.results.store import write_table

START = datetime(2026, 1, 1, tzinfo=UTC)


def recording(folder: Path, curves: Sequence[Sequence[tuple[float | None, float]]], **about: Any) -> Recording:
    """Of a study whose trials have these (score, seconds since the study began)."""
    rows = [
        {
            "study_id": "s",
            "trial_id": f"t{trial:04d}",
            "evaluation": number,
            "fid": fid,
            "timestamp": START + timedelta(seconds=seconds),
        }
        for trial, curve in enumerate(curves)
        for number, (fid, seconds) in enumerate(curve, 1)
    ]
    write_table(folder, "studies", [{"study_id": "s"} | about])
    write_table(folder, "history", rows[::-1])
    return read_recording(folder)


def test_a_curve_ends_where_its_trial_diverged(tmp_path: Path) -> None:
    known = [(3.0, 1.0), (2.0, 2.0)]
    found = recording(tmp_path, [known, [*known, (DIVERGED_FID, 3.0)], [(None, 1.0), (4.0, 2.0)]])
    assert [curve.fids.tolist()[:2] for curve in found.curves[:2]] == [[3.0, 2.0]] * 2
    assert [len(curve.fids) for curve in found.curves] == [2, 3, 1]
    assert [curve.diverged for curve in found.curves] == [False, True, True]
    assert [curve.is_cut(3) for curve in found.curves] == [True, False, False]
    curves, last = pooled([found], last=2)
    assert last == 2 and [curve.diverged for curve in curves] == [False, False, True], "the second diverged later"


def test_the_pace_of_a_trial_is_its_usual_time_whatever_an_interruption_took(tmp_path: Path) -> None:
    steady, stopped = [(1.0, 2.0 * number) for number in range(4)], [(1.0, 0), (1.0, 5.0), (1.0, 500.0), (1.0, 505.0)]
    found = recording(tmp_path, [steady, stopped, [(1.0, 7.0)], [(1.0, 3.0), (1.0, 3.0)]])
    assert [curve.pace for curve in found.curves] == [2.0, 5.0, 3.5, 3.5], "where it is unknown, that of the others"


@pytest.mark.parametrize(
    ("gpus", "tune", "slots"),
    [
        (0, {}, 2),
        (0, {"max_concurrent": 5}, 5),
        (8, {"gpus_per_trial": 1.0}, 8),
        (1, {"gpus_per_trial": 0.25}, 4),
        (8, {"gpus_per_trial": 2.0, "max_concurrent": 3}, 3),
        (8, None, 8),
    ],
)
def test_as_many_trials_run_side_by_side_as_in_the_study(
    tmp_path: Path, gpus: int, tune: dict[str, Any] | None, slots: int
) -> None:
    config = None if tune is None else json.dumps({"tune": tune})
    assert recording(tmp_path, [[(1.0, 0.0)]], gpus=gpus, config_json=config).slots == slots


def test_what_a_study_says_of_itself_is_known_and_what_it_does_not_is_taken_from_its_curves(tmp_path: Path) -> None:
    whole = [[(1.0, 0.0), (np.pi, 1.0)]]
    own = {"scheduler": "asha", "grace_evaluations": 2, "reduction_factor": 3.0, "max_evaluations": 9, "command": "c"}
    told = recording(tmp_path / "a", whole, **own)
    assert (told.asha, told.max_evaluations, told.command, told.name) == ((2, 3.0), 9, "c", "a")
    silent = recording(tmp_path / "b", whole, scheduler="none")
    assert (silent.asha, silent.max_evaluations, silent.command) == (None, 2, None)
