"""What schema 2 added to ``trials`` and settings are compared by, computed for a study of schema 1 from what it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from autogan_ray.base.errors import ResultsError
from autogan_ray.base.reading import parse_object
from autogan_ray.metrics.diverged import DIVERGED_FID
from autogan_ray.results.rows import swept_values
from autogan_ray.results.schemas import swept_columns


def with_first_rung(trials: pd.DataFrame, history: pd.DataFrame, evaluation: int) -> pd.DataFrame:
    """Returns the trials with ``fid_first_rung``, null where a trial did not come so far or had diverged by then.

    Args:
        evaluation: at which ASHA decides first.
    """
    rung = history[(history["evaluation"] == evaluation) & (history["fid"] < DIVERGED_FID)]
    return trials.assign(fid_first_rung=trials["trial_id"].map(rung.set_index("trial_id")["fid"]).astype(float))


def with_swept_columns(trials: pd.DataFrame, sweep: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Returns the trials with a column for each swept setting that has none, from each trial's configuration.

    Raises ResultsError for a trial whose configuration cannot be read.
    """
    absent = [column.name for column in swept_columns(sweep) if column.name not in trials.columns]
    if not absent:
        return trials
    texts = trials["config_json"].fillna("{}")
    configs = [parse_object(text, "table trials, config_json", ResultsError) for text in texts]
    values = [swept_values(sweep, config) for config in configs]
    return trials.assign(**{name: [row[name] for row in values] for name in absent})
