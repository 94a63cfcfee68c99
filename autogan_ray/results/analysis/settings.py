"""What trials scored for each value of a setting, compared where ASHA has stopped no trial yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from autogan_ray.base.errors import ResultsError, nearest
from autogan_ray.results.analysis.intervals import geometric_mean
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


def score_column(at: str) -> str:
    """Returns the column of ``trials`` by which trials are compared. Raises ResultsError for an unknown place."""
    if at not in AT:
        raise ResultsError(f"at = {at!r}: trials are compared at one of {', '.join(AT)}; {nearest(at, AT)}")
    return AT[at]


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
        two), ``fid_min``; best first.

    Raises ResultsError for a column that the trials do not have.
    """
    trials, column = study.trials, score_column(at)
    if by not in trials.columns:
        raise ResultsError(f"by = {by!r}: the table trials has no such column; {nearest(by, trials.columns)}")
    rows = []
    for value, group in trials.groupby(groups(study, trials[by]), sort=True):
        mean = geometric_mean(group[column].tolist())
        spread = {"fid": mean.estimate, "low": mean.low, "high": mean.high, "fid_min": group[column].min()}
        rows.append({"value": value, "trials": len(group), "scored": mean.n, **spread})
    columns = ["value", "trials", "scored", "fid", "low", "high", "fid_min"]
    return pd.DataFrame(rows, columns=columns).sort_values("fid", ignore_index=True)


def groups(study: StudyTables, values: pd.Series) -> pd.Series:
    """Returns the group of each trial by its value of a setting: the value as text, or a third of a range.

    Args:
        values: a column of ``trials``; null stays null.
    """
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return values.map(str, na_action="ignore")
    listed = bool(study.config.get("sweep", {}).get(str(values.name), {}).get("choice"))
    if listed or values.nunique() < FEW:
        return values.map("{:.10g}".format, na_action="ignore")
    thirds = pd.qcut(values, 3, labels=False, duplicates="drop")
    ends = values.groupby(thirds).agg(["min", "max"])
    names = {third: f"{low:.3g} to {high:.3g}" for third, (low, high) in zip(ends.index, ends.to_numpy(), strict=True)}
    return thirds.map(names)
