"""ASHA whose rungs outlive the process.

Ray does not save a scheduler's rungs, so in a resumed study there would be no scores to compare a trial with.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from autogan_ray.base.errors import ResultsError
from autogan_ray.base.files import replace_text
from autogan_ray.config.sections import TuneConfig
from autogan_ray.config.study import StudyConfig
from autogan_ray.tune.optuna_search import METRIC, TIME
from autogan_ray.tune.ray_internals import BRACKET_OF_TRIAL, BRACKETS, RUNGS, usable


def asha_arguments(tune: TuneConfig) -> dict[str, Any]:
    """Returns the arguments of Ray's scheduler for a study's settings; all others keep Ray's defaults: one bracket."""
    return {
        "time_attr": TIME,
        "metric": METRIC,
        "mode": "min",
        "max_t": tune.max_evaluations,
        "grace_period": tune.grace,
        "reduction_factor": tune.reduction_factor,
    }


class ResumableASHA(ASHAScheduler):
    """Asynchronous successive halving (Li et al. 2020), one bracket, with its rungs in a JSON file.

    The rungs hold trials by the study's ids, such as ``t0003``: Ray gives a trial that goes on in a later run a new id,
    and it must not stand in a rung twice.

    A diverged trial is stopped and enters no rung: its penalty would loosen the cutoff for the other trials.

    Args:
        file: where the rungs are kept, replaced in one step after each decision.

    Raises ResultsError for a damaged file.
    """

    def __init__(self, study: StudyConfig, file: Path) -> None:
        tune = study.tune
        super().__init__(**asha_arguments(tune))
        self._file, self._last = file, tune.max_evaluations
        self._stopped: set[str] = set()
        self._saved = ""
        self._load()

    @property
    def _ray_rungs(self) -> list[tuple[float, dict[str, float]]]:
        """Ray's own rungs: (evaluation, trial -> reward), where the reward is the FID with its sign turned.

        Empty where this version of Ray keeps them in another way.
        """
        return self._brackets[0]._rungs if usable(BRACKETS, RUNGS) else []

    def _forget(self, trial_id: str) -> None:
        if usable(BRACKET_OF_TRIAL):
            self._trial_info.pop(trial_id, None)

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        super().on_trial_add(tune_controller, _by_study_id(trial))

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        known = _by_study_id(trial)
        # A trial's process that dies between the decision and the stop is started again; the decision stands.
        if result.get("diverged") or known.trial_id in self._stopped:
            return TrialScheduler.STOP
        decision = super().on_trial_result(tune_controller, known, result)
        if decision == TrialScheduler.STOP and result[TIME] < self._last:
            self._stopped.add(known.trial_id)
        self._save()
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        known = _by_study_id(trial)
        if result.get("diverged") or known.trial_id in self._stopped:
            self._forget(known.trial_id)
            return
        super().on_trial_complete(tune_controller, known, result)
        self._save()

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        self._forget(_by_study_id(trial).trial_id)

    def _save(self) -> None:
        rungs = [[rung, entered] for rung, entered in self._ray_rungs]
        text = json.dumps({"rungs": rungs, "stopped": sorted(self._stopped)})
        if text == self._saved:  # most evaluations lie between two rungs
            return
        replace_text(self._file, text)
        self._saved = text

    def _load(self) -> None:
        saved = _read(self._file)
        self._stopped = set(saved["stopped"])
        kept = dict(saved["rungs"])
        for rung, entered in self._ray_rungs:
            entered.update(kept.get(rung, {}))


def _by_study_id(trial: Trial) -> Any:
    """A stand-in with the study's id: Ray's scheduler reads nothing else of a trial."""
    return SimpleNamespace(trial_id=trial.config["trial_id"])


def stopped_trials(file: Path) -> set[str]:
    """The ids of the trials that ASHA stopped early, read from the rungs' file."""
    return set(_read(file)["stopped"])


def _read(file: Path) -> dict[str, Any]:
    """The content of the rungs' file. Raises ResultsError for a damaged file."""
    if not file.exists():
        return {"rungs": [], "stopped": []}
    try:
        saved: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return {"rungs": saved["rungs"], "stopped": saved["stopped"]}
    except (ValueError, TypeError, KeyError) as error:
        raise ResultsError(
            f"{file} is damaged ({error}); remove it and the study goes on, its next trials judged among themselves"
        ) from error
