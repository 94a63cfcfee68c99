"""How well scores while searching rank what retraining makes of the genotypes, what ASHA saved, and cost fronts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from autogan_ray.base.errors import ResultsError, nearest
from autogan_ray.config.score_and_cost import SCORE
from autogan_ray.results.analysis.intervals import Interval, kendall_tau
from autogan_ray.results.analysis.settings import scored_trials
from autogan_ray.results.front import column_of, on_front

if TYPE_CHECKING:
    from autogan_ray.results.study_tables import StudyTables

ENOUGH = 5
"""Retrained trials below which nothing is said of a rank correlation."""


def retrained_pairs(study: StudyTables, score: str = "fid_best") -> pd.DataFrame:
    """Returns a row for each retrained trial: ``trial_id``, the search's ``score``, the retrained ``fid``, ``seeds``.

    The retrained score is the geometric mean over fresh seeds, of one recipe (:func:`main_recipe`).

    Args:
        score: a column of ``trials``. Raises ResultsError for an unknown one.
    """
    trials, rows = scored_trials(study), fresh(main_recipe(study.evaluations), study.evaluations)
    if score not in trials.columns:
        raise ResultsError(f"score = {score!r}: the table trials has no such column; {nearest(score, trials.columns)}")
    rows = rows[(rows["source"] == "retrain") & rows["fid"].notna() & (rows["fid"] > 0)]
    # A trial may have been retrained by other genotypes than its best one: those say nothing of its score.
    known = trials.dropna(subset=[score]).set_index("trial_id")
    rows = rows[rows["trial_id"].isin(known.index)]
    rows = rows[rows["genotype_id"].to_numpy() == known.loc[rows["trial_id"], "genotype_id"].to_numpy()]
    logs = rows.assign(log=np.log(rows["fid"].astype(float))).groupby("trial_id")["log"].agg(["mean", "count"])
    pairs = pd.DataFrame({"score": known.loc[logs.index, score], "fid": np.exp(logs["mean"]), "seeds": logs["count"]})
    return pairs.rename_axis("trial_id").reset_index()


def recipes(evaluations: pd.DataFrame) -> list[str]:
    """Returns the recipes by which networks were trained to their end; the one that a study is judged by stands first.

    That is the recipe by which most searched networks were retrained; at a tie that with most rows, then the latest.
    """
    finals = _finals(evaluations)
    facts = {"searched": finals["source"] == "retrain", "rows": 1, "latest": finals["timestamp"]}
    counts = pd.DataFrame({"recipe": finals["recipe"], **facts}).groupby("recipe")
    order = counts.agg({"searched": "sum", "rows": "sum", "latest": "max"}).sort_values(["searched", "rows", "latest"])
    return [str(name) for name in order.index[::-1]]


def main_recipe(evaluations: pd.DataFrame, recipe: str | None = None) -> pd.DataFrame:
    """Returns the rows of one recipe, as only these can be compared; candidates of a race are not among them.

    Args:
        recipe: None takes the first of :func:`recipes`. Raises ResultsError for one that is not there.
    """
    finals, known = _finals(evaluations), recipes(evaluations)
    if recipe is not None and recipe not in known:
        raise ResultsError(f"recipe {recipe!r}: no network was retrained by it; {nearest(recipe, known)}")
    return finals[finals["recipe"] == (recipe or next(iter(known), None))]


def _finals(evaluations: pd.DataFrame) -> pd.DataFrame:
    """Returns the trainings to the end. Rows that earlier versions wrote have their recipe in their id."""
    rows = evaluations[evaluations["stage"].fillna("final") == "final"]
    return rows.assign(recipe=rows["recipe"].fillna(rows["evaluation_id"].map(_recipe_told)))


def fresh(rows: pd.DataFrame, evaluations: pd.DataFrame) -> pd.DataFrame:
    """Returns those of some retrainings whose seed took no part in choosing their genotype: claims rest on these.

    Which seeds took part, the races say, whether they were run before a retraining or after it.
    """
    races = evaluations[evaluations["stage"] == "race"]
    chose = set(zip(races["genotype_id"], races["seed"], strict=True))
    apart = [pair not in chose for pair in zip(rows["genotype_id"], rows["seed"], strict=True)]
    return rows[rows["fresh_seed"].fillna(True).astype(bool) & np.array(apart, dtype=bool)]


def raced(evaluations: pd.DataFrame, source: str, recipe: str) -> pd.DataFrame:
    """Returns the candidates of a race, the first first: who came further, and of these who scored better.

    Args:
        source: ``retrain`` for genotypes of trials, or ``random``.
        recipe: of the trainings to the end for which the race chose.
    """
    rows = evaluations[(evaluations["stage"] == "race") & (evaluations["source"] == source)]
    own = rows["recipe"] == f"race-{recipe}"
    if not own.any():
        # Earlier versions gave a race a digest of its own: where these trainings followed one, their discriminator and
        # length say which it was.
        finals = _finals(evaluations)
        chosen = finals["chosen_by"][(finals["recipe"] == recipe) & (finals["source"] == source)] == "race"
        alike = rows["recipe"].astype(str).str.startswith(f"race-{recipe.rpartition('-')[0]}-")
        own = alike & bool(chosen.any())
    return rows[own].sort_values(["kimg", "fid_race"], ascending=[False, True])


def race_winner(evaluations: pd.DataFrame, source: str, recipe: str) -> str | None:
    """Returns the id of the genotype that stands first in a race; None where none was raced, or none has a score."""
    rows = raced(evaluations, source, recipe)
    return next(iter(rows["genotype_id"][rows["fid_race"].notna()]), None)


def network_names(rows: pd.DataFrame) -> pd.Series:
    """Returns the name of the network of each retraining: random genotypes are one, but for those that won a race, and
    a name that several genotypes have is followed by the genotype's id."""
    if rows.empty:
        return rows["name"]
    names, drawn = rows["name"].fillna("unnamed"), rows["source"] == "random"
    won = drawn & rows["genotype_id"].isin(rows["genotype_id"][rows["chosen_by"] == "race"])
    names = names.where(~won, "raced " + names).where(~drawn | won, "random genotypes")
    several = rows.groupby(names)["genotype_id"].transform("nunique") > 1
    apart = several & (~drawn | won)
    return names.where(~apart, names + " " + rows["genotype_id"].astype(str))


def _recipe_told(evaluation_id: str) -> str:
    """Returns the recipe that an id names: that of ``random-b1f2-derived-k16-e7238a-s0`` is ``derived-k16-e7238a``."""
    return evaluation_id.split("-", 2)[-1].rpartition("-s")[0]


def rank_correlation(study: StudyTables, score: str = "fid_best") -> Interval:
    """Returns Kendall's tau of the search's score with the retrained one, over retrained trials, with its interval.

    Below :data:`ENOUGH` trials the ends are NaN, and nothing can be said. Raises as :func:`retrained_pairs`.
    """
    pairs = retrained_pairs(study, score)
    return kendall_tau(pairs["score"].tolist(), pairs["fid"].tolist())


def pareto(study: StudyTables, *columns: str) -> pd.DataFrame:
    """Returns the trials that no other trial beats in all of these columns of ``trials``, lower being better.

    Args:
        columns: such as ``fid_best`` and ``macs_g``; ``fid`` means ``fid_best``. Where none is given they are the
            study's two objectives, and of a study of one ``fid_best`` and ``macs_g``.

    Raises ResultsError for an unknown column.
    """
    trials = scored_trials(study)
    names = [column_of(name) for name in columns or (SCORE, study.second_objective or "macs_g")]
    for name in names:
        if name not in trials.columns:
            raise ResultsError(f"{name!r}: the table trials has no such column; {nearest(name, trials.columns)}")
    trials = trials.dropna(subset=names)
    best = np.array(on_front(trials[names].to_numpy(dtype=float)), dtype=bool)
    return trials[best].sort_values(names, ignore_index=True)


class Savings(NamedTuple):
    """What stopping poor trials early saved.

    Args:
        planned: evaluations that all trials begun would have taken.
        run: evaluations that were made.
        pruned: trials that ASHA stopped.
        trials: trials begun.
        hours: of all trials together.
        hours_saved: what the spared evaluations would have taken, by each trial's own pace.
        gpu_hours: GPU-hours of all trials.
    """

    planned: int
    run: int
    pruned: int
    trials: int
    hours: float
    hours_saved: float
    gpu_hours: float

    @property
    def share(self) -> float:
        """Share of the planned evaluations that was spared, 0 to 1; NaN where none was planned."""
        return 1 - self.run / self.planned if self.planned else float("nan")


def savings(study: StudyTables) -> Savings:
    """Returns what ASHA saved in a study, of trials that came to their end or were stopped by it.

    Trials that failed, or that the end of the study cut off, count as far as they came: nothing was saved by that.
    """
    trials = study.trials[study.trials["evaluations"] > 0]
    pruned = trials["status"] == "pruned"
    spared = (trials["planned_evaluations"] - trials["evaluations"]).where(pruned, 0)
    pace = trials["wall_s"] / trials["evaluations"]
    return Savings(
        planned=int((trials["evaluations"] + spared).sum()),
        run=int(trials["evaluations"].sum()),
        pruned=int(pruned.sum()),
        trials=len(trials),
        hours=float(trials["wall_s"].sum() / 3600),
        hours_saved=float((pace * spared).sum() / 3600),
        gpu_hours=float(trials["gpu_s"].sum() / 3600),
    )
