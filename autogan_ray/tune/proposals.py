"""From a study's sweep to Optuna: what is proposed, under which number, and what Optuna is told of the outcome."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from ray.tune.search.optuna import OptunaSearch

from autogan_ray.config import StudyConfig
from autogan_ray.sweep import Domain, in_order
from autogan_ray.training.streams import stream_seed

METRIC = "fid"
TIME = "evaluation"


class Proposal:
    """Define-by-run: proposes a sweep's settings, each only where its ``when`` holds. Picklable, so no closure."""

    def __init__(self, sweep: Mapping[str, Domain]) -> None:
        # So that every condition finds what it asks about.
        self._sweep = in_order(sweep)

    def __call__(self, trial: optuna.Trial) -> dict[str, Any]:
        proposed: dict[str, Any] = {}
        for key, domain in self._sweep.items():
            if all(proposed.get(other) in wanted for other, wanted in domain.when.items()):
                proposed[key] = _suggest(trial, key, domain)
        return {}


def _suggest(trial: optuna.Trial, key: str, domain: Domain) -> Any:
    if domain.choice:
        return trial.suggest_categorical(key, list(domain.choice))
    if domain.randint:
        return trial.suggest_int(key, *domain.randint)
    if domain.loguniform:
        return trial.suggest_float(key, *domain.loguniform, log=True)
    assert domain.uniform
    return trial.suggest_float(key, *domain.uniform)


class StudySearch(OptunaSearch):
    """Optuna for a study: seeded, with journal storage, numbered trials, and pruned trials told as pruned.

    Ray's own wrapper tells Optuna that a trial stopped by ASHA is complete with its last value, so that short runs are
    taken for full ones; and it dies over results of trials it does not know. Both are changed here.

    Args:
        journal: file of Optuna's journal storage (readable by optuna-dashboard).
    """

    def __init__(self, study: StudyConfig, journal: Path) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study, self._next = study, 0
        self._best: dict[str, float] = {}
        self._last: dict[str, int] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            super().__init__(
                space=Proposal(study.live_sweep),
                metric=METRIC,
                mode="min",
                sampler=_sampler(study),
                study_name=study.name,
                storage=JournalStorage(JournalFileBackend(str(journal))),
            )

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        proposed = super().suggest(trial_id)
        if not isinstance(proposed, dict):
            return proposed
        number, self._next = self._next, self._next + 1
        trial = self._study.trial(proposed, stream_seed(self._study.seed, "trial", number) % 2**32)
        return {"number": number, "trial_id": name_of(number), "trial": trial.model_dump(mode="json")}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        value, step = result.get(METRIC), result.get(TIME)
        known = self._ot_trials.get(trial_id)
        if known is None or trial_id in self._completed_trials:
            return
        if not isinstance(value, int | float) or not math.isfinite(value) or step is None:
            return
        if step > self._last.get(trial_id, 0):  # a resumed trial may repeat an evaluation
            known.report(value, step)
            self._last[trial_id] = step
        self._best[trial_id] = min(value, self._best.get(trial_id, math.inf))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        known = self._ot_trials.get(trial_id)
        if known is None or trial_id in self._completed_trials:
            return
        self._completed_trials.add(trial_id)
        full = self._last.get(trial_id, 0) >= self._study.tune.max_evaluations
        if error or trial_id not in self._best:
            outcome: tuple[float | None, TrialState] = (None, TrialState.FAIL)
        elif full:
            outcome = (self._best[trial_id], TrialState.COMPLETE)
        else:
            outcome = (None, TrialState.PRUNED)  # Optuna then uses the values reported so far
        assert self._ot_study is not None
        try:
            self._ot_study.tell(known, outcome[0], state=outcome[1])
        except ValueError:
            pass  # told before a crash: the journal is ahead of Ray's snapshot


def name_of(number: int) -> str:
    """Our own id of a trial: Ray's is random, and two equal studies should have equal tables."""
    return f"t{number:04d}"


def _sampler(study: StudyConfig) -> optuna.samplers.BaseSampler:
    if study.tune.searcher == "random":
        return optuna.samplers.RandomSampler(seed=study.seed)
    # constant_liar: running trials count as poor, so that slots side by side get different proposals.
    return optuna.samplers.TPESampler(seed=study.seed, n_startup_trials=study.tune.startup_trials, constant_liar=True)
