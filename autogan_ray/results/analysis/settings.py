"""What trials scored for each value of a setting, compared where ASHA has stopped no trial yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from autogan_ray.base.errors import ResultsError, nearest
from autogan_ray.metrics.diverged import DIVERGED_FID
from autogan_ray.results.analysis.intervals import Interval, geometric_mean, kendall_tau
from autogan_ray.results.schemas import TABLES, swept_columns

if TYPE_CHECKING:
    from autogan_ray.results.study_tables import StudyTables

AT = {"first_rung": "fid_first_rung", "best": "fid_best", "last": "fid_last"}
"""Where trials are compared -> the column of ``trials``."""

FEW = 4
"""So many different numbers of a range are compared by thirds of their trials."""


def swept(study: StudyTables) -> list[str]:
    """Returns the columns of ``trials`` that hold what the study sweeps, in the order of its configuration."""
    sweep = study.config.get("sweep", {})
    own = {column.name for column in swept_columns(sweep)}
    there = set(study.trials.columns)
    return [key for key in sweep if key in there and (key in own or key in TABLES["trials"].schema.names)]


def scored_trials(study: StudyTables) -> pd.DataFrame:
    """Returns the table ``trials``, null in the columns of :data:`AT` where a number stands for a diverged trial."""
    trials = study.trials
    scores = trials[list(AT.values())].astype(float)
    return trials.assign(**scores.where((scores > 0) & (scores < DIVERGED_FID)))


def trials_at(study: StudyTables, at: str) -> tuple[pd.DataFrame, str]:
    """Returns :func:`scored_trials`, and the column by which they are compared. Raises ResultsError for no place."""
    if at not in AT:
        raise ResultsError(f"at = {at!r}: trials are compared at one of {', '.join(AT)}; {nearest(at, AT)}")
    return scored_trials(study), AT[at]


def compare(study: StudyTables, by: str, at: str = "first_rung") -> pd.DataFrame:
    """Returns a row for each value of a setting: how many trials had it, and what they scored.

    A setting with many numbers is cut into thirds of its trials. The searcher chose the values, and chose those that
    did well more often: a row says what trials with the value scored, not what the value alone does.

    Args:
        by: a column of ``trials``: ``space``, or a swept setting such as ``optim.lr_g``.
        at: ``first_rung``, where ASHA has stopped no trial yet, which is the only fair place; ``best`` or ``last``.

    Returns:
        Columns ``value``, ``trials``, ``scored`` (those that have a score there: the others diverged, failed or did not
        come so far, and are in no mean), ``fid`` (geometric mean), ``low`` and ``high`` (its 95 % interval, null below
        two), ``fid_min``; best first, values of a range in their order.

    Raises ResultsError for a column that the trials do not have.
    """
    trials, column = trials_at(study, at)
    if by not in trials.columns:
        raise ResultsError(f"by = {by!r}: the table trials has no such column; {nearest(by, trials.columns)}")
    rows = []
    for value, group in trials.groupby(groups(study, trials[by]), observed=True):
        mean = geometric_mean(group[column].tolist())
        spread = {"fid": mean.estimate, "low": mean.low, "high": mean.high, "fid_min": group[column].min()}
        rows.append({"value": value, "trials": len(group), "scored": mean.n, **spread})
    columns = ["value", "trials", "scored", "fid", "low", "high", "fid_min"]
    found = pd.DataFrame(rows, columns=columns)
    return found if _is_range(study, trials[by]) else found.sort_values("fid", ignore_index=True)


def _is_range(study: StudyTables, values: pd.Series) -> bool:
    """Returns whether a setting's values are numbers of a range, which have an order."""
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return False
    return not study.config.get("sweep", {}).get(str(values.name), {}).get("choice")


class RungTrust(NamedTuple):
    """What the scores at the first rung are worth.

    Args:
        scored: trials with a score there.
        trained: those whose score is better than the untrained generator's; None where that is not recorded.
        tau: Kendall's tau of the scores there with the last ones, over the trials that came to their end behind it.
    """

    scored: int
    trained: int | None
    tau: Interval


def rung_trust(study: StudyTables) -> RungTrust:
    """Returns what the first rung can tell: with scores near the untrained generator's it ranks noise."""
    trials, untrained = study.trials, study.about["fid_untrained"]
    scores = trials["fid_first_rung"].dropna()
    # Where the first rung is a trial's end, both scores are one number.
    whole = trials[(trials["status"] == "complete") & (trials["evaluations"] > study.integer("grace_evaluations"))]
    trained = int((scores < untrained).sum()) if pd.notna(untrained) else None
    tau = kendall_tau(whole["fid_first_rung"].tolist(), whole["fid_last"].tolist())
    return RungTrust(len(scores), trained, tau)


def confounded(study: StudyTables) -> list[str]:
    """Returns a sentence for each value of a listed setting whose trials all have one value of another listed setting.

    What such a value scored may be the other's doing.
    """
    sweep, trials = study.config.get("sweep", {}), study.trials
    listed = [key for key in swept(study) if sweep[key].get("choice") and trials[key].nunique() > 1]
    found = []
    for key in listed:
        for value, group in trials.groupby(key):
            for other in listed:
                rest = trials.loc[~trials.index.isin(group.index), other]
                only = group[other].unique()  # null too, where the other plays no part in a trial
                if other == key or len(group) < 2 or len(only) > 1 or pd.isna(only[0]):
                    continue
                if (rest != only[0]).any():
                    found.append(f"All {len(group)} trials with {key} = {value} had {other} = {only[0]}.")
    return found


def groups(study: StudyTables, values: pd.Series) -> pd.Series:
    """Returns the group of each trial by its value of a setting: the value as text, or a third of a range.

    Groups of a range have its order (an ordered categorical).

    Args:
        values: a column of ``trials``; null stays null.
    """
    if not _is_range(study, values):
        numbers = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        return values.map("{:.10g}".format if numbers else str, na_action="ignore")
    parts = values
    if values.nunique() >= FEW:  # thirds, of two trials each at least
        parts = pd.qcut(values, min(3, values.count() // 2), labels=False, duplicates="drop")
    ends = values.groupby(parts).agg(["min", "max"])
    names = _ranges(list(ends.itertuples(index=False, name=None)))
    return parts.map(dict(zip(ends.index, names, strict=True))).astype(pd.CategoricalDtype(names, ordered=True))


def _ranges(ends: Sequence[tuple[float, float]]) -> list[str]:
    """Returns the names of ranges (least, greatest), with as many digits as tell their ends and names apart."""
    for digits in range(3, 18):  # 17 tell any two numbers of 64 bits apart
        texts = [(f"{low:.{digits}g}", f"{high:.{digits}g}") for low, high in ends]
        apart = all((low == high) == (least == most) for (low, high), (least, most) in zip(ends, texts, strict=True))
        if apart and len(set(texts)) == len(texts):
            break
    return [least if least == most else f"{least} to {most}" for least, most in texts]
