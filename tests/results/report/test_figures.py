"""Every figure can be saved, whatever a study lacks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autogan_ray.results.report.style import to_svg
from autogan_ray.results.schemas import swept_columns
from autogan_ray.results.store import read_rows, write_table
from autogan_ray.results.study import Study
from tests.results.made_studies import SWEEP, made_study

FIGURES: dict[str, Callable[[Study], Any]] = {
    "history": lambda study: study.plot_history(),
    "retrained": lambda study: study.plot_retrained(),
    "compare": lambda study: study.plot_compare("space"),
    "compare at last": lambda study: study.plot_compare("space", at="last"),
    "importance": lambda study: study.plot_importance(),
    "slices": lambda study: study.plot_slices(),
    "parallel": lambda study: study.plot_parallel(),
    "operations": lambda study: study.plot_operations("autogan/fixed"),
    "entropy": lambda study: study.plot_entropy(),
    "rank correlation": lambda study: study.plot_rank_correlation(),
    "pareto": lambda study: study.plot_pareto(),
}


def without_scores(study: Study, trials: list[dict[str, Any]]) -> Study:
    (about,) = read_rows(study.folder, "studies")
    write_table(study.folder, "studies", [about | {"floor_fid": None, "fid_untrained": None, "best_trial_id": None}])
    write_table(study.folder, "trials", trials, None, swept_columns(SWEEP))
    for name in ("history", "decisions", "genotypes", "evaluations", "curves"):
        write_table(study.folder, name, [])
    return study


@pytest.fixture(scope="module")
def lacking(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Study]:
    folder = tmp_path_factory.mktemp("studies")
    failed = made_study(folder / "failed", trials=6)
    keys = ("study_id", "trial_id", "space", *SWEEP)
    rows = [{key: row[key] for key in keys} | {"status": "error"} for row in read_rows(failed.folder, "trials")]
    unswept = made_study(folder / "unswept", trials=6)
    (about,) = read_rows(unswept.folder, "studies")
    write_table(unswept.folder, "studies", [about | {"config_json": json.dumps({"sweep": {}})}])
    begun = without_scores(made_study(folder / "begun", trials=6), [])
    return {"no trial": begun, "no score": without_scores(failed, rows), "no sweep": unswept}


@pytest.mark.parametrize("lack", ["no trial", "no score", "no sweep"])
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_can_be_saved_of_a_study_that_has(lacking: dict[str, Study], name: str, lack: str) -> None:
    drawn = FIGURES[name](lacking[lack])
    axes = next(iter(np.atleast_1d(drawn).flat))
    assert to_svg(axes.figure, "name").startswith("<svg")


def test_slices_of_a_study_that_swept_nothing_say_so(lacking: dict[str, Study]) -> None:
    (axes,) = lacking["no sweep"].plot_slices().flat
    assert [text.get_text() for text in axes.texts] == ["The study swept no setting."] and axes.get_visible()


def test_scores_stand_on_a_logarithmic_axis(tmp_path: Path) -> None:
    study = made_study(tmp_path, trials=8)
    assert {axes.get_yscale() for axes in study.plot_slices().flat} == {"log"}
    assert study.plot_compare("space").get_xscale() == study.plot_history().get_yscale() == "log"
