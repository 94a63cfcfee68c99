"""ASHA that remembers: Ray does not save a scheduler's rungs, so a resumed study would judge trials by nothing."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from autogan_ray.base.errors import ResultsError
from autogan_ray.base.files import replace_text
from autogan_ray.config.study import StudyConfig
from autogan_ray.tune.optuna_search import METRIC, TIME


class RungKeeper(ASHAScheduler):
    """Asynchronous successive halving (Li et al. 2020), one bracket, with its rungs in a JSON file.

    Trials go by our ids in it: a trial that goes on in a later run has another of Ray's, and must not be there twice.

    A diverged trial is stopped without a place in any rung: its penalty would loosen the cutoff for the others.

    Args:
        file: where the rungs are kept, replaced atomically after each decision.
    """

    def __init__(self, study: StudyConfig, file: Path) -> None:
        tune = study.tune
        super().__init__(
            time_attr=TIME,
            metric=METRIC,
            mode="min",
            max_t=tune.max_evaluations,
            grace_period=tune.grace,
            reduction_factor=tune.reduction_factor,
        )
        self._file = file
        self._stopped: set[str] = set()
        self._saved = ""
        self._load()

    @property
    def rungs(self) -> dict[float, dict[str, float]]:
        """Evaluation -> trial -> FID recorded there."""
        return {rung: {who: -reward for who, reward in seen.items()} for rung, seen in self._brackets[0]._rungs}

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        super().on_trial_add(tune_controller, _named(trial))

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        ours = _named(trial)
        # A worker that dies between the decision and its stop starts again: what was decided stays decided.
        if result.get("diverged") or ours.trial_id in self._stopped:
            return TrialScheduler.STOP
        decision = super().on_trial_result(tune_controller, ours, result)
        if decision == TrialScheduler.STOP and result[TIME] < self._max_t:
            self._stopped.add(ours.trial_id)
        self._save()
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        ours = _named(trial)
        if result.get("diverged") or ours.trial_id in self._stopped:
            self._trial_info.pop(ours.trial_id, None)
            return
        super().on_trial_complete(tune_controller, ours, result)
        self._save()

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        self._trial_info.pop(_named(trial).trial_id, None)

    def _save(self) -> None:
        rungs = [[rung, seen] for rung, seen in self._brackets[0]._rungs]
        text = json.dumps({"rungs": rungs, "stopped": sorted(self._stopped)})
        if text == self._saved:  # most evaluations lie between two rungs
            return
        replace_text(self._file, text)
        self._saved = text

    def _load(self) -> None:
        saved = _read(self._file)
        self._stopped = set(saved["stopped"])
        kept = dict(saved["rungs"])
        for rung, seen in self._brackets[0]._rungs:
            seen.update(kept.get(rung, {}))


def _named(trial: Trial) -> Any:
    """What Ray's scheduler reads of a trial, its id, as ours."""
    return SimpleNamespace(trial_id=trial.config["trial_id"])


class StoppedTrials:
    """The trials that ASHA stopped early, read from the rungs' file (picklable, unlike a closure)."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self) -> set[str]:
        return set(_read(self._file)["stopped"])


def _read(file: Path) -> dict[str, Any]:
    """Raises ResultsError for a damaged file."""
    if not file.exists():
        return {"rungs": [], "stopped": []}
    try:
        saved: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return {"rungs": saved["rungs"], "stopped": saved["stopped"]}
    except (ValueError, TypeError, KeyError) as error:
        raise ResultsError(
            f"{file} is damaged ({error}); remove it and the study goes on, its next trials judged among themselves"
        ) from error
