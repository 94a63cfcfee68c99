"""Optuna as Ray's search algorithm: proposes the trials of a study's sweep and reports their scores to Optuna."""

from __future__ import annotations

import json
import math
import operator
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from autogan_ray.config.study import StudyConfig
from autogan_ray.config.sweep import Domain
from autogan_ray.results.trial_log import FINISHED, TrialLog, name_of
from autogan_ray.training.streams import stream_seed
from autogan_ray.tune.failures import FAILURE, reported_failure
from autogan_ray.tune.journal import open_journal
from autogan_ray.tune.resume import UnfinishedTrial

METRIC = "fid"
"""The key of a report by which trials are compared."""
TIME = "evaluation"
"""The key of a report that counts a trial's progress."""


def records_of(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The records of a report in the order of their evaluations: a trial that goes on sends its earlier ones again."""
    return json.loads(result["records"]) if "records" in result else [dict(result)] if TIME in result else []


def propose(sweep: Mapping[str, Domain], trial: optuna.Trial, before: Callable[[str], None]) -> dict[str, Any]:
    """Values for the settings of a sweep, without those whose condition ``when`` does not hold.

    Args:
        sweep: in the order of proposals.
        trial: Optuna's trial; a value that it has already stays as it is.
        before: called with the name of each setting before its value is proposed.
    """
    for first in list(sweep)[:1]:
        before(first)
        # TPE draws the settings that all trials have in common together, when the first of them is asked for: here, so
        # that it is the same draw where some of them stand in the journal already.
        _ = trial.relative_params
    proposed: dict[str, Any] = {}
    for key, domain in sweep.items():
        if domain.is_proposed(proposed):
            before(key)
            proposed[key] = _suggest(trial, key, domain)
    return proposed


def _suggest(trial: optuna.Trial, key: str, domain: Domain) -> Any:
    if domain.choice:
        return trial.suggest_categorical(key, list(domain.choice))
    if domain.randint:
        return trial.suggest_int(key, *domain.randint)
    if domain.loguniform:
        return trial.suggest_float(key, *domain.loguniform, log=True)
    assert domain.uniform
    return trial.suggest_float(key, *domain.uniform)


def _distribution(domain: Domain) -> optuna.distributions.BaseDistribution:
    """The distribution that :func:`_suggest` draws from."""
    if domain.choice:
        return optuna.distributions.CategoricalDistribution(list(domain.choice))
    if domain.randint:
        return optuna.distributions.IntDistribution(*domain.randint)
    low, high = domain.loguniform or domain.uniform or (0.0, 0.0)
    return optuna.distributions.FloatDistribution(low, high, log=domain.loguniform is not None)


def _proposed_in(sweep: Mapping[str, Domain], config: Mapping[str, Any]) -> dict[str, Any]:
    """The values that were proposed for a trial, read from its configuration."""
    proposed: dict[str, Any] = {}
    for key, domain in sweep.items():
        if domain.is_proposed(proposed):
            proposed[key] = reduce(operator.getitem, key.split("."), config)
    return proposed


@dataclass
class _ReportedTrial:
    """Optuna's trial, with what was reported of it so far."""

    trial: optuna.Trial
    last_evaluation: int = 0
    best_score: float = math.inf
    ended: bool = False


class OptunaSearch(Searcher):
    """Optuna as the search algorithm of a study, with its state in a journal.

    A trial has the same number in the study and in Optuna. A proposal depends on the study's seed, on the trial's
    number and on the other trials in the journal, and on nothing in this process: a resumed study proposes what it
    would have proposed without the interruption. (Ray's own wrapper of Optuna keeps its state in Ray's snapshots, takes
    trials that ASHA stopped for complete trials, and fails at results of unknown trials.)

    A trial that diverged has failed for Optuna, whatever its scores were before. A trial that ended with an error stays
    failed, even if it is run again with success.

    The journal is a cache: its content follows from the trials' logs (:mod:`autogan_ray.tune.caches`).

    Args:
        journal: file of Optuna's journal storage (readable by optuna-dashboard); None keeps its state in memory.
        unfinished: trials of an earlier run, which are proposed before any new trial.
        first: number of the first new trial.

    Raises ResultsError for a damaged journal.
    """

    def __init__(
        self, study: StudyConfig, journal: Path | None, unfinished: Sequence[UnfinishedTrial] = (), first: int = 0
    ) -> None:
        super().__init__(metric=METRIC, mode="min")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study, self._waiting, self._next = study, list(unfinished), first
        self._reported: dict[str, _ReportedTrial] = {}
        storage = optuna.storages.InMemoryStorage() if journal is None else open_journal(journal)
        # The study may have been renamed since it began.
        begun_as = [known.study_name for known in storage.get_all_studies()]
        self._optuna = optuna.create_study(
            storage=storage, study_name=begun_as[0] if begun_as else study.name, direction="minimize",
            load_if_exists=True,
        )  # fmt: skip

    def suggest(self, trial_id: str) -> dict[str, Any]:
        if self._waiting:
            planned = self._waiting.pop(0)
        else:
            planned, self._next = UnfinishedTrial(self._next), self._next + 1
        number = planned.number
        reported = self._reported[trial_id] = self._reported_trial(number)
        config = planned.config
        if config is None:
            values = self._propose(number, reported)
            config = self._study.trial(values, stream_seed(self._study.seed, "trial", number) % 2**32)
        return {
            "number": number,
            "trial_id": name_of(number),
            # As a text: of every number in a nested configuration Ray keeps mean, extremes and the last ten values.
            "trial": config.model_dump_json(),
            "checkpoints": list(planned.checkpoints),
            "attempt": planned.attempt,
        }

    def _propose(self, number: int, reported: _ReportedTrial) -> dict[str, Any]:
        if reported.ended:  # the trial's log is lost, and Optuna gives a trial that has ended no values any more
            return dict(reported.trial.params)
        return propose(self._study.live_sweep, reported.trial, lambda key: self._seed_sampler(number, key))

    def _seed_sampler(self, number: int, key: str) -> None:
        """Gives each setting of each trial its own seed, as the driver may die between two settings."""
        self._optuna.sampler = _sampler(self._study, stream_seed(self._study.seed, f"proposal {key}", number) % 2**32)

    def _reported_trial(self, number: int) -> _ReportedTrial:
        """Optuna's trial of this number: a new trial, or that of an earlier run with what was reported of it."""
        stored = self.trials
        for _ in range(len(stored), number):  # somebody removed the journal
            self._optuna.add_trial(optuna.trial.create_trial(state=TrialState.FAIL))
        if number >= len(stored):
            return _ReportedTrial(self._optuna.ask())
        before = stored[number]
        values = before.intermediate_values
        best = min(values.values(), default=math.inf)
        trial = optuna.trial.Trial(self._optuna, before._trial_id)
        return _ReportedTrial(trial, max(values, default=0), best, before.state.is_finished())

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        reported = self._reported.get(trial_id)
        if reported is None or reported.ended:
            return
        for record in records_of(result):
            value, step = record.get(METRIC), record[TIME]
            if record.get("diverged") or not isinstance(value, int | float) or not math.isfinite(value):
                continue
            if step > reported.last_evaluation:  # a resumed trial may repeat an evaluation
                reported.trial.report(value, step)
                reported.last_evaluation = step
            reported.best_score = min(value, reported.best_score)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        reported = self._reported.get(trial_id)
        if reported is None or reported.ended:
            return
        # Ray passes the report at which a trial stops, by ASHA or at its end, only to this method.
        last = result or {}
        if (failure := reported_failure(last)) is not None and failure.no_room:
            return  # the trial goes on in a later run
        error = error or bool(last.get("diverged")) or FAILURE in last
        self.on_trial_result(trial_id, {} if error else last)
        reported.ended = True
        if error or not math.isfinite(reported.best_score):
            state = TrialState.FAIL
        elif reported.last_evaluation >= self._study.tune.max_evaluations:
            state = TrialState.COMPLETE
        else:
            state = TrialState.PRUNED  # Optuna then uses the values reported so far
        self._optuna.tell(reported.trial, reported.best_score if state == TrialState.COMPLETE else None, state=state)

    def report_ends(self, logs: Iterable[TrialLog]) -> None:
        """Reports the finished trials that are still running for Optuna, as a run ended before Ray reported them."""
        stored = self.trials
        for log in logs:
            number = log.number
            if log.state not in FINISHED or number >= len(stored) or stored[number].state.is_finished():
                continue
            self._reported[log.trial_id] = self._reported_trial(number)
            for record in log.records:
                self.on_trial_result(log.trial_id, {} if record["diverged"] else record)
            self.on_trial_complete(log.trial_id, error=log.state == "diverged")

    def replay(self, lines: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Goes through the lines of all trials' logs in their order, as if what they tell happened again.

        A trial whose settings no log holds is proposed where it was: before any trial of a higher number.
        """
        configs = {int(name[1:]): line["config"] for name, line in lines if line["kind"] == "trial"}
        for name, line in lines:
            if line["kind"] == "trial":
                for number in range(len(self.trials), int(name[1:]) + 1):
                    self._add(number, configs.get(number))
                self._reported[name] = self._reported_trial(int(name[1:]))
            elif line["kind"] == "evaluation":
                self.on_trial_result(name, line["record"])
            elif line.get("status") in FINISHED | {"error"}:
                status = line["status"]
                self.on_trial_complete(name, {"diverged": status == "diverged"}, error=status == "error")

    def _add(self, number: int, config: Mapping[str, Any] | None) -> None:
        """Adds the next trial to Optuna's: with the values in its configuration, else with proposed values."""
        if config is None:
            self._propose(number, self._reported_trial(number))
            return
        values = _proposed_in(self._study.live_sweep, config)
        domains = {key: _distribution(self._study.live_sweep[key]) for key in values}
        self._optuna.add_trial(
            optuna.trial.create_trial(state=TrialState.RUNNING, params=values, distributions=domains)
        )

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """All trials that Optuna knows, by their numbers."""
        return self._optuna.get_trials(deepcopy=False)

    def save(self, checkpoint_path: str) -> None:
        """Does nothing: the journal and the trials' logs are the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Does nothing, as :meth:`save`."""


def trial_folder_name(trial: Trial) -> str:
    """The folder in which Ray keeps a trial's checkpoints, such as ``t0003-8b2f1``.

    The study's id makes it readable, and Ray's id unique among the runs of a study.
    """
    return f"{trial.config['trial_id']}-{trial.trial_id}"


def trial_name(study: str, trial: Trial) -> str:
    """The name of a trial outside its study, such as ``digits-t0003``."""
    return f"{study}-{trial.config['trial_id']}"


def _sampler(study: StudyConfig, seed: int) -> optuna.samplers.BaseSampler:
    if study.tune.searcher == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # constant_liar: running trials count as poor, so that trials that run side by side get different proposals.
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=study.tune.startup_trials, constant_liar=True)
