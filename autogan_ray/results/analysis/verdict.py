"""The verdict: is what the search found better than a baseline, and how sure is that?

Both are retrained from scratch by one recipe, on seeds that took no part in choosing a genotype. The network of the
study is the one that it would hand out: the winner of the race of its trials' genotypes; where there was none, that of
the retrained trial with the best score while searching. The baseline is likewise the winner of a race of random
genotypes, where there was one.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from autogan_ray.base.errors import ResultsError, nearest
from autogan_ray.results.analysis.intervals import finite_values, log_ratio
from autogan_ray.results.analysis.ranking import fresh, main_recipe, network_names, race_winner, raced
from autogan_ray.results.retrained import recipe_options

if TYPE_CHECKING:
    from autogan_ray.results.study_tables import StudyTables

BETTER, SAME, WORSE, OPEN = "better", "not distinguishable", "worse", "no conclusion"
RANDOM = "random"
ENOUGH = 3
"""Retrainings of each side below which nothing is concluded."""


class NotRetrainedError(ResultsError):
    """One of two sides was not retrained.

    Args:
        options: of ``retrain RESULTS``, which trains it by the same recipe.
    """

    def __init__(self, message: str, options: Sequence[str]) -> None:
        self.options = (*options, "--resume")  # as some of it may be there
        super().__init__(f"{message}; retrain RESULTS {shlex.join(self.options)} trains it")


@dataclass(frozen=True)
class Verdict:
    """What can be said of a searched network against a baseline.

    Args:
        word: better, not distinguishable, worse, or no conclusion: where there are fewer than :data:`ENOUGH` trainings,
            or where failed ones, which are in no mean, could turn it.
        against: the baseline.
        trial_id, genotype_id: of the searched network.
        recipe: of all retrainings that are compared.
        ratio: of the geometric means of FD, searched to baseline; below 1 is better.
        low, high: ends of its 95 % interval (Welch's t on the log scale), NaN where there are too few.
        fid, fid_against: the two geometric means.
        seeds: retrainings of the searched network that have a score.
        n_against: of a named network and of the winner of a race its retrainings, else the number of random genotypes,
            with a score.
        raced, raced_against: candidates of the race that chose the network; 0 where there was none.
        failed, failed_against: retrainings without one.
        noise: standard deviation of log FD between seeds of one network, pooled; NaN where no network has two.
        seeds_needed: retrainings of each side by which the difference that is there would show in four of five cases
            (power .8 of the t test), at least :data:`ENOUGH`; None where it cannot be told.
        search_kimg: what all trials of the search were shown, in thousands of real images.
        kimg, kimg_against: the same of both sides' retrainings, races included.
        search_hours, hours, hours_against: what these took, scoring included; NaN where it was not recorded.
        macs_g, macs_g_against: mean multiply-accumulates of G for an image.
    """

    word: str
    against: str
    trial_id: str
    genotype_id: str
    recipe: str
    ratio: float
    low: float
    high: float
    fid: float
    fid_against: float
    seeds: int
    n_against: int
    raced: int
    raced_against: int
    failed: int
    failed_against: int
    noise: float
    seeds_needed: int | None
    search_kimg: float
    kimg: float
    kimg_against: float
    search_hours: float
    hours: float
    hours_against: float
    macs_g: float
    macs_g_against: float

    def to_dict(self) -> dict[str, Any]:
        """Returns values for JSON, None for NaN."""
        return {key: None if value != value else value for key, value in asdict(self).items()}

    def __str__(self) -> str:
        ours = _times(self.seeds, "seed") + f", {self.failed} more failed" * bool(self.failed)
        average = self.against == RANDOM and not self.raced_against
        theirs = _times(self.n_against, "genotype" if average else "seed")
        theirs += f", {self.failed_against} more retrainings failed" * bool(self.failed_against)
        whom = "the average random genotype" if average else self.against
        if self.raced_against:
            whom = f"the winner of {self.raced_against} raced random genotypes"
        who = f"trial {self.trial_id}" + f", winner of {self.raced} raced" * bool(self.raced)
        sides = f"FD {self.fid:.4g} ({who}, {ours}) against {self.fid_against:.4g} ({whom}, {theirs})"
        text = f"{self.word}: {sides}, ratio {self.ratio:.2f}"
        if not math.isnan(self.low):
            text += f" (95 % interval {self.low:.2f} to {self.high:.2f})"
        if self.word == OPEN:
            text += f"; it takes {ENOUGH} a side to conclude anything, and failed ones are in no mean"
        if self.word in (OPEN, SAME) and self.seeds_needed is not None:
            needed = "more than 999" if self.seeds_needed > 999 else f"about {self.seeds_needed}"
            text += f"; a difference of this size would need {needed} a side"
        return text

    @property
    def cost(self) -> str:
        """What both sides cost, and how large their generators are, in two sentences."""
        races = ", races included" * bool(self.raced or self.raced_against)
        whole = _spent(self.search_kimg + self.kimg, self.search_hours + self.hours)
        return (
            f"The search was shown {_spent(self.search_kimg, self.search_hours)} and its network's retrainings "
            f"{_spent(self.kimg, self.hours)}, {whole} in all; those of {self.against} "
            f"{_spent(self.kimg_against, self.hours_against)}{races}. "
            f"G has {self.macs_g / 1e6:.3g} against {self.macs_g_against / 1e6:.3g} million MACs."
        )


def _spent(kimg: float, hours: float) -> str:
    shown = f"{kimg:,.0f} kimg" if kimg >= 10 else f"{kimg:.2g} kimg"
    return shown + ("" if math.isnan(hours) else f" in {hours:.2g} h")


def _times(count: int, what: str) -> str:
    return f"{count} {what}" + "s" * (count != 1)


def baselines(study: StudyTables, recipe: str | None = None) -> list[str]:
    """Returns what the searched network can be compared with: ``random``, then names of published and own networks."""
    rows = main_recipe(study.evaluations, recipe)
    others = network_names(rows)[rows["source"].isin(["published", "user"])]
    return [RANDOM] * bool((rows["source"] == RANDOM).any()) + list(dict.fromkeys(others))


def verdict(study: StudyTables, against: str = RANDOM, recipe: str | None = None) -> Verdict:
    """Returns the verdict on the study's network against a baseline, of one recipe.

    Args:
        against: ``random``, whose unit is a genotype (the mean of its seeds), or a seed of the genotype that won a
            race of random ones; or the name of a network, whose unit is a seed.
        recipe: None takes that by which most searched networks were retrained.

    Raises NotRetrainedError, with the options that train it, where one of both was not retrained; ResultsError for an
    unknown recipe.
    """
    finals = main_recipe(study.evaluations, recipe)
    recipe, rows = next(iter(finals["recipe"]), ""), fresh(finals, study.evaluations)
    trial_id, searched = _searched(study, rows, recipe)
    other = _baseline(study, against, rows, recipe)
    ratio = log_ratio(searched.scores, other.scores)
    word = word_of(ratio.low, ratio.high, min(len(searched.scores), len(other.scores)))
    if (word == BETTER and searched.failed) or (word == WORSE and other.failed):
        word = OPEN
    (kimg, hours), (kimg_against, hours_against) = searched.spent(study), other.spent(study)
    return Verdict(
        word=word,
        against=against,
        trial_id=trial_id,
        genotype_id=str(searched.rows["genotype_id"].iloc[0]),
        recipe=recipe,
        ratio=ratio.estimate,
        low=ratio.low,
        high=ratio.high,
        fid=_geometric(searched.scores),
        fid_against=_geometric(other.scores),
        seeds=len(searched.scores),
        n_against=len(other.scores),
        raced=len(searched.race),
        raced_against=len(other.race),
        failed=searched.failed,
        failed_against=other.failed,
        noise=pooled_noise(rows),
        seeds_needed=_needed(searched.scores, other.scores),
        search_kimg=float(study.history.groupby("trial_id")["kimg"].max().sum()),
        kimg=kimg,
        kimg_against=kimg_against,
        search_hours=float(study.trials["wall_s"].astype(float).sum(skipna=False)) / 3600,
        hours=hours,
        hours_against=hours_against,
        macs_g=float(searched.rows["macs_g"].astype(float).mean()),
        macs_g_against=float(other.rows["macs_g"].astype(float).mean()),
    )


@dataclass(frozen=True)
class _Side:
    """One of the two that are compared.

    Args:
        rows: its retrainings.
        race: the candidates of the race that chose it; none where there was none.
        scores: what is compared: of seeds, or of random genotypes the means.
    """

    rows: pd.DataFrame
    race: pd.DataFrame
    scores: list[float]

    @property
    def failed(self) -> int:
        return len(self.rows) - len(_scores(self.rows))

    def spent(self, study: StudyTables) -> tuple[float, float]:
        """Returns the kimg that retrainings and race were shown, to their end and not to their best score alone; and
        their hours, NaN where these were not recorded."""
        rows = pd.concat([self.rows, self.race])
        ends = study.curves.groupby("evaluation_id")[["kimg", "wall_s"]].max()
        kimg = rows["evaluation_id"].map(ends["kimg"]).astype(float).fillna(rows["kimg"]).sum()
        seconds = rows["evaluation_id"].map(ends["wall_s"]).astype(float).fillna(rows["wall_s"].astype(float))
        return float(kimg), float(seconds.sum(skipna=False) / 3600)


def _scores(rows: pd.DataFrame) -> list[float]:
    return list(finite_values(rows["fid"].tolist()))


def _baseline(study: StudyTables, against: str, rows: pd.DataFrame, recipe: str) -> _Side:
    """Returns a named network by its seeds; of random genotypes the winner of their race, else each by its mean."""
    everything, known = study.evaluations, baselines(study, recipe)
    if against not in known:
        others = nearest(against, known) if known else "no other network was"
        raise NotRetrainedError(
            f"{study.folder}: {against!r} was not retrained by the recipe of the searched network, {recipe} ({others})",
            ["--genotype", against, "--seeds", "3", *recipe_options(study, recipe)],
        )
    if against != RANDOM:
        names = network_names(main_recipe(everything, recipe)).reindex(rows.index)
        named = rows[(names == against) & rows["source"].isin(["published", "user"])]
        return _Side(named, everything[:0], _scores(named))
    drawn, winner = rows[rows["source"] == RANDOM], race_winner(everything, RANDOM, recipe)
    if winner is None:
        return _Side(drawn, everything[:0], _means(drawn))
    drawn = drawn[drawn["genotype_id"] == winner]
    return _Side(drawn, raced(everything, RANDOM, recipe), _scores(drawn))


def _searched(study: StudyTables, rows: pd.DataFrame, recipe: str) -> tuple[str, _Side]:
    """Returns the trial whose genotype won the race, else the retrained trial with the best score while searching; and
    the retrainings of that genotype."""
    found = rows[rows["source"] == "retrain"]
    if study.trials["fid_best"].isna().all():
        raise NotRetrainedError(
            f"{study.folder}: no trial has a score, so there is no searched network to compare",
            ["--genotype", RANDOM, "--seeds", "3"],
        )
    winner = race_winner(study.evaluations, "retrain", recipe)
    if winner is not None:
        found = found[found["genotype_id"] == winner]
        if found.empty:
            raise NotRetrainedError(
                f"{study.folder}: the winner of its race, genotype {winner}, was not retrained with a fresh seed",
                ["--genotype", winner, "--seeds", "3", *recipe_options(study, recipe)],
            )
        race = raced(study.evaluations, "retrain", recipe)
        return str(found["trial_id"].iloc[0]), _Side(found, race, _scores(found))
    trials = study.trials.set_index("trial_id")
    best = found["trial_id"].map(trials["genotype_id"]) == found["genotype_id"]
    found, scores = found[best], trials["fid_best"]
    ranked = scores[scores.index.isin(found["trial_id"])].dropna().sort_values()
    if ranked.empty:
        raise NotRetrainedError(
            f"{study.folder}: no trial was retrained, and without that nothing can be claimed",
            ["--trial", "best", "--genotype", RANDOM, "--seeds", "3", *recipe_options(study, recipe)],
        )
    trial_id = str(ranked.index[0])
    found = found[found["trial_id"] == trial_id]
    return trial_id, _Side(found, study.evaluations[:0], _scores(found))


def _means(rows: pd.DataFrame) -> list[float]:
    """Returns the geometric mean over seeds for each genotype."""
    means = [_geometric(group["fid"].tolist()) for _, group in rows.groupby("genotype_id")]
    return [mean for mean in means if not math.isnan(mean)]


def _geometric(values: Sequence[float]) -> float:
    logs = np.log(finite_values(values))
    return float(np.exp(logs.mean())) if len(logs) else math.nan


def word_of(low: float, high: float, fewest: int) -> str:
    """Returns the word for an interval of the ratio.

    Args:
        fewest: trainings of the side that has fewer.
    """
    if fewest < ENOUGH or math.isnan(low):
        return OPEN
    return BETTER if high < 1 else WORSE if low > 1 else SAME


def pooled_noise(rows: pd.DataFrame) -> float:
    """Returns the standard deviation of log FD between seeds of one genotype, pooled over genotypes; NaN without two"""
    logs = rows.assign(log=np.log(rows["fid"].where(rows["fid"] > 0).astype(float))).groupby("genotype_id")["log"]
    spread = logs.agg(["var", "count"])
    spread = spread[spread["count"] > 1]
    freedom = (spread["count"] - 1).sum()
    return float(math.sqrt((spread["var"] * (spread["count"] - 1)).sum() / freedom)) if freedom else math.nan


def _needed(ours: Sequence[float], theirs: Sequence[float]) -> int | None:
    """Returns the least n a side at which a t test at 5 % has power .8, with the means and variances that are there."""
    from scipy import stats

    sides = [np.log(finite_values(side)) for side in (ours, theirs)]
    if any(len(side) < 2 for side in sides):
        return None
    spread = math.sqrt(sum(float(side.var(ddof=1)) for side in sides) / 2)
    distance = abs(float(sides[0].mean() - sides[1].mean()))
    if not spread or not distance:
        return None

    def power(count: int) -> float:
        freedom, shift = 2 * count - 2, distance / spread * math.sqrt(count / 2)
        return float(stats.nct.sf(stats.t.ppf(0.975, freedom), freedom, shift))

    return next((count for count in range(ENOUGH, 1000) if power(count) >= 0.8), 1000)
