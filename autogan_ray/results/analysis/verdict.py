"""The verdict: is what the search found better than a baseline, and how sure is that?

Both are retrained from scratch by one recipe, on seeds that took no part in the search. The network of the study is
the one that it would hand out: that of the retrained trial with the best score while searching.
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
from autogan_ray.results.analysis.ranking import latest_recipe

if TYPE_CHECKING:
    from autogan_ray.results.study_tables import StudyTables

BETTER, SAME, WORSE, OPEN = "better", "not distinguishable", "worse", "no conclusion"
ENOUGH = 3
"""Retrainings of each side below which nothing is concluded."""


@dataclass(frozen=True)
class Verdict:
    """What can be said of a searched network against a baseline.

    Args:
        word: better, not distinguishable, worse, or no conclusion where there are fewer than :data:`ENOUGH` trainings.
        against: the baseline.
        trial_id: of the searched network.
        ratio: of the geometric means of FD, searched to baseline; below 1 is better.
        low, high: ends of its 95 % interval (Welch's t on the log scale), NaN where there are too few.
        fid, fid_against: the two geometric means.
        seeds: retrainings of the searched network.
        n_against: of a named network its retrainings, of random genotypes their number.
        noise: standard deviation of log FD between seeds of one network, pooled; NaN where no network has two.
        seeds_needed: retrainings of each side by which the difference that is there would show in four of five cases
            (power .8); None where it cannot be told.
    """

    word: str
    against: str
    trial_id: str
    ratio: float
    low: float
    high: float
    fid: float
    fid_against: float
    seeds: int
    n_against: int
    noise: float
    seeds_needed: int | None

    def to_dict(self) -> dict[str, Any]:
        """Returns values for JSON, None for NaN."""
        return {key: None if value != value else value for key, value in asdict(self).items()}

    def __str__(self) -> str:
        sides = (
            f"FD {self.fid:.4g} (trial {self.trial_id}, {_times(self.seeds, 'seed')}) against {self.fid_against:.4g}"
        )
        unit = "genotype" if self.against == "random" else "seed"
        text = f"{self.word}: {sides} ({self.against}, {_times(self.n_against, unit)}), ratio {self.ratio:.2f}"
        if not math.isnan(self.low):
            text += f" (95 % interval {self.low:.2f} to {self.high:.2f})"
        if self.word == OPEN:
            text += f"; fewer than {ENOUGH} on a side conclude nothing"
        if self.word in (OPEN, SAME) and self.seeds_needed is not None:
            needed = "more than 999" if self.seeds_needed > 999 else str(self.seeds_needed)
            text += f"; a difference of this size would need about {needed} a side"
        return text


def _times(count: int, what: str) -> str:
    return f"{count} {what}" + "s" * (count != 1)


def baselines(study: StudyTables) -> list[str]:
    """Returns what the searched network can be compared with: ``random``, then names of published and own networks."""
    rows = latest_recipe(study.evaluations)
    others = rows[rows["source"].isin(["published", "user"])]["name"]
    return ["random"] * bool((rows["source"] == "random").any()) + list(dict.fromkeys(others))


def verdict(study: StudyTables, against: str = "random") -> Verdict:
    """Returns the verdict on the study's network against a baseline, of the recipe with the most retrainings.

    Args:
        against: ``random``, whose unit is a genotype (the mean of its seeds), or the name of a network, whose unit is
            a seed.

    Raises ResultsError, naming the command that is missing, where one of both was not retrained.
    """
    rows = latest_recipe(study.evaluations)
    rows = rows[rows["fid"].notna()]
    trial_id, searched = _searched(study, rows)
    known = baselines(study)
    if against not in known:
        raise ResultsError(
            f"{study.folder}: {against!r} was not retrained by the recipe of the searched network "
            f"({nearest(against, known) if known else 'no other network was'}); retrain RESULTS --genotype {against} "
            "--seeds 3 adds it"
        )
    other = rows[rows["source"] == "random"] if against == "random" else rows[rows["name"] == against]
    theirs = _means(other) if against == "random" else other["fid"].tolist()
    ours = searched["fid"].tolist()
    ratio = log_ratio(ours, theirs)
    noise = pooled_noise(rows)
    return Verdict(
        word=_word(ratio.low, ratio.high, min(len(ours), len(theirs))),
        against=against,
        trial_id=trial_id,
        ratio=ratio.estimate,
        low=ratio.low,
        high=ratio.high,
        fid=_geometric(ours),
        fid_against=_geometric(theirs),
        seeds=len(ours),
        n_against=len(theirs),
        noise=noise,
        seeds_needed=_needed(ratio.estimate, ours, theirs),
    )


def _searched(study: StudyTables, rows: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """Returns the retrained trial with the best score while searching, and its retrainings."""
    found = rows[rows["source"] == "retrain"]
    scores = study.trials.set_index("trial_id")["fid_best"]
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
    return [_geometric(group["fid"].tolist()) for _, group in rows.groupby("genotype_id")]


def _geometric(values: Sequence[float]) -> float:
    logs = np.log(finite_values(values))
    return float(np.exp(logs.mean())) if len(logs) else math.nan


def _word(low: float, high: float, fewest: int) -> str:
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


def _needed(ratio: float, ours: Sequence[float], theirs: Sequence[float]) -> int | None:
    """Two-sided test at 5 %, power .8, by the normal approximation: n = (1.96 + .84)^2 (s1^2 + s2^2) / d^2."""
    spreads = [np.log(finite_values(side)) for side in (ours, theirs)]
    if any(len(side) < 2 for side in spreads) or not ratio > 0 or ratio == 1:
        return None
    variance = sum(float(side.var(ddof=1)) for side in spreads)
    return max(2, math.ceil(7.849 * variance / math.log(ratio) ** 2))
