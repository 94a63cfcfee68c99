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
from optuna.trial import FrozenTrial, TrialState
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from autogan_ray.base.errors import ResultsError
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
    """Optuna's trial, with what was reported of it so far.

    Args:
        best: values of the objectives at the evaluation of the best score.
    """

    trial: optuna.Trial
    last_evaluation: int = 0
    best: Sequence[float] = (math.inf,)
    ended: bool = False


_AT = "evaluation "
"""With the number of an evaluation, the name of a user attribute that holds the values of two objectives there."""
STOPPED_AT = "stopped at evaluation"
"""The user attribute of a trial that ASHA stopped, where there are two objectives."""


def told_of(trial: FrozenTrial) -> dict[int, Any]:
    """Returns what Optuna was told of a trial on its way: evaluation -> the score, or a list of score and cost.

    Optuna takes no intermediate values where there are two objectives; user attributes hold them there.
    """
    pairs = {int(key.removeprefix(_AT)): pair for key, pair in trial.user_attrs.items() if key.startswith(_AT)}
    return trial.intermediate_values | pairs


class OptunaSearch(Searcher):
    """Optuna as the search algorithm of a study, with its state in a journal.

    A trial has the same number in the study and in Optuna. A proposal depends on the study's seed, on the trial's
    number and on the other trials in the journal, and on nothing in this process: a resumed study proposes what it
    would have proposed without the interruption. (Ray's own wrapper of Optuna keeps its state in Ray's snapshots, takes
    trials that ASHA stopped for complete trials, and fails at results of unknown trials.)

    A trial that diverged has failed for Optuna, whatever its scores were before. A trial that ended with an error stays
    failed, even if it is run again with success.

    With two objectives Optuna is told of a trial's best score and of the cost of the genotype that has it. Optuna takes
    no intermediate values there: a pruned trial would have no values at all, TPE would take it for worse than all
    others, and NSGA-II would not see it. So a trial that ASHA stopped is complete, with the attribute
    :data:`STOPPED_AT`. What it tells was measured, and its best score could only have fallen had it run on: it counts
    for no more than it is.

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
        self._objectives = study.tune.objectives
        self._reported: dict[str, _ReportedTrial] = {}
        storage = optuna.storages.InMemoryStorage() if journal is None else open_journal(journal)
        # The study may have been renamed since it began.
        begun_as = [known.study_name for known in storage.get_all_studies()]
        self._optuna = optuna.create_study(
            storage=storage, study_name=begun_as[0] if begun_as else study.name,
            directions=["minimize"] * len(self._objectives), load_if_exists=True,
        )  # fmt: skip
        if len(self._optuna.directions) != len(self._objectives):
            raise ResultsError(
                f"{journal} is of a study of {len(self._optuna.directions)} objectives, this one has "
                f"{list(self._objectives)}; go on with --resume, which builds it from the trials' logs"
            )
        self._count = len(self.trials)  # to ask for all of them at each proposal takes ever longer

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
        for _ in range(self._count, number):  # somebody removed the journal
            self._optuna.add_trial(optuna.trial.create_trial(state=TrialState.FAIL))
        known, self._count = self._count, max(self._count, number + 1)
        if number >= known:
            return _ReportedTrial(self._optuna.ask())
        before = self.trials[number]
        told = told_of(before)
        values = [told[step] if self._two else [told[step]] for step in sorted(told)]
        best = min(values, key=operator.itemgetter(0), default=(math.inf,))
        trial = optuna.trial.Trial(self._optuna, before._trial_id)
        return _ReportedTrial(trial, max(told, default=0), best, before.state.is_finished())

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        reported = self._reported.get(trial_id)
        if reported is None or reported.ended:
            return
        for record in records_of(result):
            found, step = [record.get(name) for name in self._objectives], record[TIME]
            values = [one for one in found if isinstance(one, int | float) and math.isfinite(one)]
            if record.get("diverged") or values != found:
                continue
            if step > reported.last_evaluation:  # a resumed trial may repeat an evaluation
                if self._two:
                    reported.trial.set_user_attr(f"{_AT}{step}", values)
                else:
                    reported.trial.report(values[0], step)
                reported.last_evaluation = step
            if values[0] < reported.best[0]:
                reported.best = values

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
        whole = reported.last_evaluation >= self._study.tune.max_evaluations
        if error or not math.isfinite(reported.best[0]):
            state = TrialState.FAIL
        elif whole or self._two:
            state = TrialState.COMPLETE
        else:
            state = TrialState.PRUNED  # Optuna then uses the values reported so far
        if state == TrialState.COMPLETE and not whole:
            reported.trial.set_user_attr(STOPPED_AT, reported.last_evaluation)
        self._optuna.tell(reported.trial, reported.best if state == TrialState.COMPLETE else None, state=state)
        del self._reported[trial_id]  # Optuna's trial holds a copy of all that its storage holds

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
                for number in range(self._count, int(name[1:]) + 1):
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
        self._count += 1

    @property
    def _two(self) -> bool:
        return len(self._objectives) > 1

    @property
    def trials(self) -> list[FrozenTrial]:
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


class _Generations(optuna.samplers.NSGAIISampler):
    """NSGA-II (Deb et al. 2002), whose generations follow from the numbers of trials and from nothing else.

    Optuna's own writes a trial's generation, and the parents of each generation, into its storage as trials end: there
    a journal that is built again, or a trial that ends late, would have other parents.
    """

    def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:
        assert self.population_size is not None
        return trial.number // self.population_size

    def get_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [trial for trial in ended if self.get_trial_generation(study, trial) == generation]

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        parents = self.select_parent(study, generation) if generation else []
        return parents if len(parents) > 1 else []  # of too few, as the others still run: draws at random


def _sampler(study: StudyConfig, seed: int) -> optuna.samplers.BaseSampler:
    startup = study.tune.startup_trials
    if study.tune.searcher == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if study.tune.searcher == "nsga2":
        return _Generations(seed=seed, population_size=startup)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # constant_liar: running trials count as poor, so that trials that run side by side get different proposals.
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup, constant_liar=True)
