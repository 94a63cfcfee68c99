"""Fronts, against their definition, and the trials of a study that are on its front."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pandas as pd
import pytest

from autogan_ray.results.front import front_ranks, on_front
from autogan_ray.results.study import load_study
from autogan_ray.results.tables import write_tables
from autogan_ray.results.trial_log import TrialLogs
from tests.results.test_tables import ABOUT, tell


def beats(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("seed", range(8))
def test_ranks_are_the_longest_chains_of_points_that_beat_each_other(seed: int) -> None:
    """A point's rank is one more than the highest rank of those that beat it: on small grids, so that points tie."""
    draw = random.Random(seed)
    points = [(draw.randrange(6), draw.randrange(6)) for _ in range(25)]
    ranks = dict(zip(points, front_ranks(points), strict=True))
    for point, rank in ranks.items():
        assert rank == max((ranks[other] + 1 for other in points if beats(other, point)), default=0)
    assert on_front(points) == [ranks[point] == 0 for point in points]
    assert front_ranks([]) == on_front([]) == []


def tables(folder: Path, config: dict[str, object]) -> pd.DataFrame:
    """The trials of a study: two on the front of score and MACs, one beaten, one without a score, one not begun."""
    logs = TrialLogs(folder)
    for trial, scores, costs in ((0, (9.0, 5.0), (10, 70)), (1, (8.0, 8.5), (60, 20)), (2, (8.0,), (70,))):
        for evaluation, (fid, cost) in enumerate(zip(scores, costs, strict=True), 1):
            tell(logs, trial, evaluation, fid)
            record = logs.get(f"t{trial:04d}").evaluations[evaluation] | {"macs_g": cost}
            logs.add(f"t{trial:04d}", "evaluation", record=record)
    tell(logs, 3, 1, 1e9, diverged=True)
    logs.add("t0004", "trial", number=4, config={})
    write_tables(folder, ABOUT | {"config_json": json.dumps(config)}, logs)
    return load_study(folder).trials


def test_the_front_is_of_best_scores_and_the_cost_of_their_genotypes(tmp_path: Path) -> None:
    """Trial 0 scored 9 with 10 MACs as well, which would be on the front: a trial counts once, at its best score."""
    trials = tables(tmp_path, {"tune": {"objectives": ["fid", "macs_g"]}})
    assert [None if pd.isna(one) else bool(one) for one in trials["on_front"]] == [True, True, False, None, None]
    study = load_study(tmp_path)
    assert study.second_objective == "macs_g" and study.pareto()["trial_id"].tolist() == ["t0000", "t0001"]
    assert study.studies["best_trial_id"].iloc[0] == "t0000"


@pytest.mark.parametrize("config", [{}, {"tune": {"objectives": ["fid"]}}])
def test_a_study_of_one_objective_has_no_front(tmp_path: Path, config: dict[str, object]) -> None:
    assert tables(tmp_path, config)["on_front"].isna().all() and load_study(tmp_path).second_objective is None
