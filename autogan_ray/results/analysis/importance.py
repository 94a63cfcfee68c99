"""How much of the scores' variance each swept setting explains, and how much of it chance would explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from autogan_ray.results.analysis.settings import groups, swept, trials_at

if TYPE_CHECKING:
    from autogan_ray.results.study_tables import StudyTables

ENOUGH = 10
"""Scored trials with a setting below which nothing is said of it."""

SHUFFLES = 999


def importance(study: StudyTables, at: str = "first_rung", seed: int = 0) -> pd.DataFrame:
    """Returns how much of the variance of the log scores each swept setting explains by itself, greatest first.

    That is the adjusted R squared of a one-way analysis of variance over the setting's values or thirds, those of
    :func:`~autogan_ray.results.analysis.settings.compare`: near 0 for a setting without effect, whatever the number of
    trials. A setting is analysed in the trials in which it plays a part. What settings explain only together is in no
    share, and what the searcher proposed together is in both.

    Args:
        seed: of the shuffles.

    Returns:
        A row for each swept setting, named by its key: ``share``, 0 to 1; ``noise``, which the share exceeds in one
        case of twenty where the setting has no effect (95 % of the shares with shuffled scores are below it); and
        ``trials``, those that were scored and had the setting. Settings that are left out have null ``share`` and
        ``noise``: they had fewer than :data:`ENOUGH` such trials, or the same value in all, or another in each.
    """
    keys, (trials, column) = swept(study), trials_at(study, at)
    scored = trials[trials[column].notna()]
    logs, rng = np.log(scored[column]), np.random.default_rng(seed)
    rows = [_explained(logs, groups(study, scored[key]), rng) for key in keys]
    found = pd.DataFrame(rows, columns=["share", "noise", "trials"], index=pd.Index(keys, name="setting", dtype=object))
    return found.sort_values("share", ascending=False)


def _explained(logs: pd.Series, group: pd.Series, rng: np.random.Generator) -> tuple[float, float, int]:
    """Returns (share, noise, trials) of one setting; null in ``group`` leaves a trial out."""
    values = logs[group.notna()].to_numpy(dtype=float)
    codes, names = pd.factorize(group.dropna())
    n, k = len(values), len(names)
    if n < ENOUGH or not 1 < k < n or np.ptp(values) == 0:
        return np.nan, np.nan, n
    values = values - values.mean()
    members = np.eye(k)[codes]
    scores = np.vstack([values, rng.permuted(np.tile(values, (SHUFFLES, 1)), axis=1)])
    between = ((scores @ members) ** 2 / members.sum(axis=0)).sum(axis=1)
    shares = (1 - (n - 1) / (n - k) * (1 - between / (values**2).sum())).clip(0, 1)
    return float(shares[0]), float(np.quantile(shares[1:], 0.95)), n
