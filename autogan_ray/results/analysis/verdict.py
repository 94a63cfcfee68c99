"""The verdict: is what the search found better than a baseline, and how sure is that?

Both are retrained from scratch by one recipe, on seeds that took no part in choosing a genotype. The network of the
study is the one that it would hand out: the winner of the race of its trials' genotypes; where there was none, that of
the retrained trial with the best score while searching. The baseline is likewise the winner of a race of random
genotypes, where there was one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from autogan_ray.base.errors import ResultsError, nearest
from autogan_ray.results.analysis.intervals import finite_values, log_ratio
from autogan_ray.results.analysis.ranking import main_recipe, raced

if TYPE_CHECKING:
    from autogan_ray.results.study_tables import StudyTables

BETTER, SAME, WORSE, OPEN = "better", "not distinguishable", "worse", "no conclusion"
RANDOM = "random"
RACE = "race"
ENOUGH = 3
"""Retrainings of each side below which nothing is concluded."""


@dataclass(frozen=True)
class Verdict:
    """What can be said of a searched network against a baseline.

    Args:
        word: better, not distinguishable, worse, or no conclusion: where there are fewer than :data:`ENOUGH` trainings,
            or where failed ones, which are in no mean, could turn it.
        against: the baseline.
        trial_id: of the searched network.
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
    """

    word: str
    against: str
    trial_id: str
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
        """What both sides cost, in a sentence."""
        races = ", races included" * bool(self.raced or self.raced_against)
        return (
            f"The search was shown {self.search_kimg:,.0f} kimg and its network's retrainings {self.kimg:,.0f}, "
            f"{self.search_kimg + self.kimg:,.0f} in all; those of {self.against} {self.kimg_against:,.0f}{races}."
        )


def _times(count: int, what: str) -> str:
    return f"{count} {what}" + "s" * (count != 1)


def baselines(study: StudyTables) -> list[str]:
    """Returns what the searched network can be compared with: ``random``, then names of published and own networks."""
    rows = main_recipe(study.evaluations)
    others = rows[rows["source"].isin(["published", "user"])]["name"]
    return [RANDOM] * bool((rows["source"] == RANDOM).any()) + list(dict.fromkeys(others))


def verdict(study: StudyTables, against: str = RANDOM) -> Verdict:
    """Returns the verdict on the study's network against a baseline, of one recipe
    (:func:`~autogan_ray.results.analysis.ranking.main_recipe`).

    Args:
        against: ``random``, whose unit is a genotype (the mean of its seeds), or a seed of the genotype that won a
            race of random ones; or the name of a network, whose unit is a seed.

    Raises ResultsError, naming the command that is missing, where one of both was not retrained.
    """
    rows = main_recipe(study.evaluations)
    rows = rows[rows["fresh_seed"].fillna(True).astype(bool)]
    trial_id, searched = _searched(study, rows)
    known = baselines(study)
    if against not in known:
        raise ResultsError(
            f"{study.folder}: {against!r} was not retrained by the recipe of the searched network "
            f"({nearest(against, known) if known else 'no other network was'}); retrain RESULTS --genotype {against} "
            "--seeds 3 adds it"
        )
    other = rows[rows["source"] == RANDOM] if against == RANDOM else rows[rows["name"] == against]
    winner = _race_winner(study, other) if against == RANDOM else None
    if winner is not None:
        other = other[other["genotype_id"] == winner]
    units = against != RANDOM or winner is not None
    theirs = finite_values(other["fid"].tolist()).tolist() if units else _means(other)
    ours = finite_values(searched["fid"].tolist()).tolist()
    failed, failed_against = len(searched) - len(ours), len(other) - len(finite_values(other["fid"].tolist()))
    ratio = log_ratio(ours, theirs)
    word = word_of(ratio.low, ratio.high, min(len(ours), len(theirs)))
    if (word == BETTER and failed) or (word == WORSE and failed_against):
        word = OPEN
    return Verdict(
        word=word,
        against=against,
        trial_id=trial_id,
        recipe=str(rows["recipe"].iloc[0]),
        ratio=ratio.estimate,
        low=ratio.low,
        high=ratio.high,
        fid=_geometric(ours),
        fid_against=_geometric(theirs),
        seeds=len(ours),
        n_against=len(theirs),
        raced=len(raced(study.evaluations, "retrain")) if _is_raced(searched) else 0,
        raced_against=len(raced(study.evaluations, RANDOM)) if winner is not None else 0,
        failed=failed,
        failed_against=failed_against,
        noise=pooled_noise(rows),
        seeds_needed=_needed(ours, theirs),
        search_kimg=float(study.history.groupby("trial_id")["kimg"].max().sum()),
        kimg=_shown(study, searched, "retrain" if _is_raced(searched) else None),
        kimg_against=_shown(study, other, RANDOM if winner is not None else None),
    )


def _shown(study: StudyTables, rows: pd.DataFrame, source: str | None) -> float:
    """Returns the kimg that retrainings were shown, to their end and not to their best score alone.

    Args:
        source: whose race chose the network, and is counted too; None where there was none.
    """
    if source is not None:
        rows = pd.concat([rows, raced(study.evaluations, source)])
    ends = study.curves.groupby("evaluation_id")["kimg"].max()
    return float(rows["evaluation_id"].map(ends).astype(float).fillna(rows["kimg"]).sum())


def _is_raced(rows: pd.DataFrame) -> bool:
    return bool((rows["chosen_by"] == RACE).any())


def _race_winner(study: StudyTables, rows: pd.DataFrame) -> str | None:
    """Returns which genotype of these retrainings stands first in their race; None where none was raced."""
    finals = set(rows["genotype_id"][rows["chosen_by"] == RACE])
    source = str(rows["source"].iloc[0]) if len(rows) else ""
    return next((name for name in raced(study.evaluations, source)["genotype_id"] if name in finals), None)


def _searched(study: StudyTables, rows: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """Returns the trial whose genotype won the race, else the retrained trial with the best score while searching; and
    the retrainings of that genotype."""
    found = rows[rows["source"] == "retrain"]
    winner = _race_winner(study, found)
    if winner is not None:
        found = found[(found["genotype_id"] == winner) & (found["chosen_by"] == RACE)]
        return str(found["trial_id"].iloc[0]), found
    trials = study.trials.set_index("trial_id")
    best = found["trial_id"].map(trials["genotype_id"]) == found["genotype_id"]
    found, scores = found[best], trials["fid_best"]
    ranked = scores[scores.index.isin(found["trial_id"])].dropna().sort_values()
    if ranked.empty:
        raise ResultsError(
            f"{study.folder}: no trial was retrained, and without that nothing can be claimed; retrain RESULTS --trial "
            "best --genotype random --seeds 3 retrains the best beside random genotypes"
        )
    trial_id = str(ranked.index[0])
    return trial_id, found[found["trial_id"] == trial_id]


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
