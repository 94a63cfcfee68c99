"""ASHA whose rungs outlive the process.

Ray does not save a scheduler's rungs, so in a resumed study there would be no scores to compare a trial with. The file
of the rungs is a cache: it follows from the trials' logs (:mod:`autogan_ray.tune.caches`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from autogan_ray.base.errors import ResultsError
from autogan_ray.base.json_lines import append_line, read_lines, replace_lines
from autogan_ray.base.reading import reading
from autogan_ray.config.sections import TuneConfig
from autogan_ray.config.study import StudyConfig
from autogan_ray.results.front import front_ranks
from autogan_ray.results.trial_log import FINISHED
from autogan_ray.tune.failures import FAILURE
from autogan_ray.tune.optuna_search import METRIC, TIME, records_of
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


Entry = float | tuple[float, float]
"""What a rung keeps of a trial."""


@dataclass(frozen=True)
class Rungs:
    """What ASHA remembers.

    Args:
        entered: rung -> trial -> its reward there, which is its FID with the sign turned; its FID and its cost where
            trials are ranked by the front of both.
        stopped: trial that was stopped early -> evaluation at which it was.
    """

    entered: Mapping[float, Mapping[str, Entry]] = field(default_factory=dict)
    stopped: Mapping[str, int] = field(default_factory=dict)


class ResumableASHA(ASHAScheduler):
    """Asynchronous successive halving (Li et al. 2020), one bracket, with its rungs in a file of JSON lines.

    The rungs hold trials by the study's ids, such as ``t0003``: Ray gives a trial that goes on in a later run a new id,
    and it must not stand in a rung twice.

    A trial is judged at each of its evaluations in their order, also where a report brings several: a trial whose
    reports were lost with its process sends them again. A trial that was stopped stays so, at that evaluation.

    A diverged trial is stopped and enters no rung: its penalty would loosen the cutoff for the other trials.

    With ``prune_by = "front"`` the rungs are Ray's, and who goes past one is decided here (:func:`goes_past`).

    Args:
        file: where the rungs are kept: it gains a line with each trial that enters a rung or is stopped. None keeps
            them nowhere.

    Raises ResultsError for a damaged file.
    """

    def __init__(self, study: StudyConfig, file: Path | None) -> None:
        tune = study.tune
        super().__init__(**asha_arguments(tune))
        self._file, self._last = file, tune.max_evaluations
        self._cost, self._factor = tune.cost if tune.prune_by == "front" else None, tune.reduction_factor
        self._stopped: dict[str, int] = {}
        self._places: dict[str, int] = {}  # Ray's id of a trial -> its place among all
        self._saved: dict[str, dict[str, Any]] = {}  # trial that runs -> the last line of it
        self._lines = 0
        if file is not None:
            kept, self._lines = _read(file)
            self._stopped.update(kept.stopped)
            for rung, entered in self._ray_rungs:
                entered.update(kept.entered.get(rung, {}))

    @property
    def _ray_rungs(self) -> list[tuple[float, dict[str, Any]]]:
        """Ray's own rungs, the highest first: (evaluation, trial -> what :class:`Rungs` says of it).

        Empty where this version of Ray keeps them in another way.
        """
        return self._brackets[0]._rungs if usable(BRACKETS, RUNGS) else []

    def _forget(self, trial_id: str) -> None:
        self._saved.pop(trial_id, None)
        if usable(BRACKET_OF_TRIAL):
            self._trial_info.pop(trial_id, None)

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self._places[trial.trial_id] = len(self._places)
        super().on_trial_add(tune_controller, _by_study_id(trial))

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Returns the first trial that waits, as Ray does, which looks through all that there ever were each time."""
        live = tune_controller.get_live_trials()
        waiting = [trial for trial in live if trial.status in (Trial.PENDING, Trial.PAUSED)]
        return min(
            waiting, key=lambda trial: (trial.status == Trial.PAUSED, self._places[trial.trial_id]), default=None
        )

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        if FAILURE in result:
            return TrialScheduler.STOP
        known, decision = _by_study_id(trial), TrialScheduler.CONTINUE
        for record in records_of(result):
            decision = self._decide(tune_controller, known, record)
            if decision == TrialScheduler.STOP:
                break
        self._save(known.trial_id)
        return decision

    def _decide(self, tune_controller: Any, known: Any, record: dict[str, Any]) -> str:
        """Whether a trial goes on after an evaluation, or after an evaluation that it tells of once more."""
        # A trial's process that dies between the decision and the stop is started again; the decision stands.
        stopped_at = self._stopped.get(known.trial_id)
        if record.get("diverged") or (stopped_at is not None and record[TIME] >= stopped_at):
            return TrialScheduler.STOP
        if self._cost is None:
            decision = str(super().on_trial_result(tune_controller, known, record))
        else:
            decision = self._decide_by_front(known.trial_id, record[TIME], (record[METRIC], record[self._cost]))
        if decision == TrialScheduler.STOP and record[TIME] < self._last:
            self._stopped[known.trial_id] = record[TIME]
        return decision

    def _decide_by_front(self, name: str, evaluation: int, point: tuple[float, float]) -> str:
        """As Ray decides: a trial enters the highest rung that is open to it, and one at an evaluation."""
        if evaluation >= self._last:
            return TrialScheduler.STOP
        for rung, entered in self._ray_rungs:
            if evaluation >= rung and name not in entered:
                entered[name] = point
                return TrialScheduler.CONTINUE if goes_past(entered, name, self._factor) else TrialScheduler.STOP
        return TrialScheduler.CONTINUE

    def replay(self, lines: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Goes through the lines of all trials' logs in their order, as if what they tell happened again.

        What became of a trial stands before what is decided here: it went on, or it was stopped.
        """
        last: dict[str, int] = {}
        for name, line in lines:
            known = SimpleNamespace(trial_id=name)
            if line["kind"] == "evaluation":
                number = line["record"][TIME]
                if number > last.get(name, 0) + 1:
                    continue  # its log has lost an evaluation: a rung holds no score of a later one
                last[name] = max(number, last.get(name, 0))
                if number > self._stopped.get(name, number):
                    del self._stopped[name]
                if number < self._last:
                    self._trial_info.setdefault(name, self._brackets[0])
                    self._decide(None, known, line["record"])
            elif line.get("status") == "pruned":
                self._stopped[name] = line.get("evaluations", last.get(name, 0))
            elif line.get("status") in FINISHED:
                self._stopped.pop(name, None)
            elif "stopped_at" in line:  # its log was damaged, and the trial is run again
                self._stopped[name] = line["stopped_at"]

    @property
    def rungs(self) -> Rungs:
        """The rungs below the last evaluation, at which nothing is decided any more; and who was stopped."""
        entered = {rung: dict(trials) for rung, trials in self._ray_rungs if rung < self._last}
        return Rungs(entered, dict(self._stopped))

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        known = _by_study_id(trial)
        if _without_score(result) or known.trial_id in self._stopped:
            self._forget(known.trial_id)
            return
        if self._cost is None:
            super().on_trial_complete(tune_controller, known, result)
            self._save(known.trial_id)
        self._forget(known.trial_id)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        self._forget(_by_study_id(trial).trial_id)

    def _save(self, name: str) -> None:
        line: dict[str, Any] = {"trial": name}
        line["entered"] = [(rung, entered[name]) for rung, entered in self._ray_rungs if name in entered]
        line["stopped"] = self._stopped.get(name)
        nothing = not line["entered"] and line["stopped"] is None
        if self._file is None or nothing or line == self._saved.get(name):
            return
        append_line(self._file, line, self._lines + 1)
        self._lines += 1
        self._saved[name] = line


def goes_past(entered: Mapping[str, tuple[float, float]], name: str, factor: float) -> bool:
    """Returns whether a trial is among the best 1 / ``factor`` of a rung, rounded up.

    Trials are in the order of how many fronts lie before theirs, those of one front in the order of their scores.

    Args:
        entered: trial -> score and cost, lower being better, of all that came to the rung, this one included.
    """
    ranks = dict(zip(entered, front_ranks(list(entered.values())), strict=True))
    order = sorted(entered, key=lambda one: (ranks[one], entered[one][0]))
    return order.index(name) * factor < len(order)


def _without_score(result: dict[str, Any]) -> bool:
    """Returns whether a report tells that the trial diverged or failed."""
    return bool(result.get("diverged")) or FAILURE in result


def _by_study_id(trial: Trial) -> Any:
    """A stand-in with the study's id: Ray's scheduler reads nothing else of a trial."""
    return SimpleNamespace(trial_id=trial.config["trial_id"])


def write_rungs(file: Path, rungs: Rungs) -> None:
    """Replaces the rungs' file."""
    replace_lines(file, [{"rungs": list(rungs.entered.items()), "stopped": rungs.stopped}])


def stopped_trials(file: Path) -> dict[str, int]:
    """The ids of the trials that ASHA stopped early, with the evaluation at which it did, from the rungs' file."""
    return dict(read_rungs(file).stopped)


def _entry(value: Any) -> Entry:
    if isinstance(value, list):
        score, cost = value
        return float(score), float(cost)
    return float(value)


def read_rungs(file: Path) -> Rungs:
    """The content of the rungs' file; empty rungs where there is none. Raises ResultsError for a damaged file."""
    return _read(file)[0]


def _read(file: Path) -> tuple[Rungs, int]:
    """The rungs, and the number of the last line of their file.

    The first line may hold all rungs, which is all that earlier versions wrote. Each other line holds what there is of
    one trial, and stands in place of an earlier one.
    """
    entered: dict[float, dict[str, Entry]] = {}
    stopped: dict[str, int] = {}
    if not file.exists():
        return Rungs(), 0
    with reading(file, ResultsError, "; go on with --resume, which builds it from the trials' logs"):
        lines = read_lines(file)
        if lines.damage or not lines.records:
            raise ValueError("; ".join(lines.damage) or "no line is whole")
        if "rungs" in lines.records[0]:
            saved = lines.records.pop(0)
            entered = {float(rung): {str(k): _entry(v) for k, v in trials.items()} for rung, trials in saved["rungs"]}
            before = saved["stopped"]
            if isinstance(before, list):  # earlier versions did not say where: at the highest rung that it entered
                before = {name: max((rung for rung in entered if name in entered[rung]), default=0) for name in before}
            stopped = {str(name): int(evaluation) for name, evaluation in before.items()}
        for line in lines.records:
            for rung, value in line["entered"]:
                entered.setdefault(float(rung), {})[str(line["trial"])] = _entry(value)
            if line["stopped"] is not None:
                stopped[str(line["trial"])] = int(line["stopped"])
    return Rungs(entered, stopped), lines.last
