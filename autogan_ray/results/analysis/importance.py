"""How much of the scores' variance each swept setting explains, by Optuna, of a study rebuilt from the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from autogan_ray.results.analysis.settings import swept, trials_at

if TYPE_CHECKING:
    from autogan_ray.results.study_tables import StudyTables

ENOUGH, MOST = 10, 200
"""Scored trials below which nothing is said, and above which a sample of so many stands for all: its time grows with
their number, and 200 take three seconds."""


def importance(study: StudyTables, at: str = "first_rung", seed: int = 0) -> pd.Series:
    """Returns how much of the scores' variance each swept setting explains, 0 to 1, most important first.

    It is Optuna's fANOVA (Hutter et al. 2014) of the trials' scores on the log scale. Settings that play no part in
    some trials are left out, as Optuna does.

    Returns:
        Setting -> importance; empty below :data:`ENOUGH` scored trials, or where no setting was swept in all of them.
    """
    keys, (trials, column) = swept(study), trials_at(study, at)
    scored = trials[trials[column].notna()]
    keys = [key for key in keys if scored[key].notna().all() and scored[key].nunique() > 1]
    if len(scored) < ENOUGH or not keys or scored[column].nunique() < 2:
        return pd.Series(dtype=float, name="importance")
    if len(scored) > MOST:
        scored = scored.sample(MOST, random_state=seed)
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sweep = study.config["sweep"]
    distributions = {key: _distribution(sweep[key]) for key in keys}
    imagined = optuna.create_study()
    for _, row in scored.iterrows():
        params = {key: _plain(row[key]) for key in keys}
        value = float(np.log(row[column]))
        imagined.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
    found = optuna.importance.get_param_importances(imagined, evaluator=evaluator)
    return pd.Series(found, name="importance", dtype=float).sort_values(ascending=False)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _distribution(domain: dict[str, Any]) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if domain.get("choice"):
        return CategoricalDistribution(tuple(domain["choice"]))
    if domain.get("randint"):
        return IntDistribution(*domain["randint"])
    low, high = domain.get("loguniform") or domain["uniform"]
    return FloatDistribution(low, high, log=bool(domain.get("loguniform")))
