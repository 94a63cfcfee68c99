"""From a study's sweep to Optuna: what is proposed, under which number, and what Optuna is told of the outcome."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
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
from autogan_ray.tune.journal import open_journal
from autogan_ray.tune.resume import Unfinished

METRIC = "fid"
TIME = "evaluation"


def propose(sweep: Mapping[str, Domain], trial: optuna.Trial, before: Callable[[str], None]) -> dict[str, Any]:
    """Returns values for a sweep's settings, each only where its ``when`` holds; what ``trial`` has already stays.

    Args:
        sweep: in the order of proposals.
        before: is called with the name of each setting that is about to be proposed.
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


@dataclass
class _Told:
    """What Optuna was told of a trial: its last evaluation, its best score, its end."""

    trial: optuna.Trial
    last: int = 0
    best: float = math.inf
    done: bool = False


class StudySearch(Searcher):
    """Optuna for a study: journal storage, our trial numbers as Optuna's, pruned trials told as pruned.

    A proposal depends on the seed, its number and what the journal says of other trials, on nothing in this process; so
    a study that goes on proposes what it would have. (Ray's own wrapper of Optuna keeps its state in Ray's snapshots,
    takes trials that ASHA stopped for complete ones, and dies over results of trials it does not know.)

    A trial that failed has failed for Optuna, also where it is taken up again and comes to a good end.

    Args:
        journal: file of Optuna's journal storage (readable by optuna-dashboard).
        unfinished: trials of an earlier run, which come first.
        first: number of the first new trial.

    Raises ResultsError for a damaged journal.
    """

    def __init__(
        self, study: StudyConfig, journal: Path, unfinished: Sequence[Unfinished] = (), first: int = 0
    ) -> None:
        super().__init__(metric=METRIC, mode="min")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study, self._waiting, self._next = study, list(unfinished), first
        self._told: dict[str, _Told] = {}
        self._optuna = optuna.create_study(
            storage=open_journal(journal), study_name=study.name, direction="minimize", load_if_exists=True
        )

    def suggest(self, trial_id: str) -> dict[str, Any]:
        if self._waiting:
            asked = self._waiting.pop(0)
        else:
            asked, self._next = Unfinished(self._next), self._next + 1
        number = asked.number
        told = self._told[trial_id] = self._of_optuna(number)
        config = asked.config
        if config is None:
            values = propose(self._study.live_sweep, told.trial, lambda key: self._draw_for(number, key))
            config = self._study.trial(values, stream_seed(self._study.seed, "trial", number) % 2**32)
        return {
            "number": number,
            "trial_id": name_of(number),
            # As one text: of a nested configuration Ray keeps the mean, the extremes and the last ten of every number.
            "trial": config.model_dump_json(),
            "checkpoints": list(asked.checkpoints),
            "attempt": asked.attempt,
        }

    def _draw_for(self, number: int, key: str) -> None:
        """Each setting has a seed of its own, as the driver may die between two of them."""
        self._optuna.sampler = _sampler(self._study, stream_seed(self._study.seed, f"proposal {key}", number) % 2**32)

    def _of_optuna(self, number: int) -> _Told:
        """Optuna's trial of this number: asked for anew, or the one of an earlier run, with what it was told then."""
        known = self._optuna.get_trials(deepcopy=False)
        for _ in range(len(known), number):  # somebody removed the journal
            self._optuna.add_trial(optuna.trial.create_trial(state=TrialState.FAIL))
        if number >= len(known):
            return _Told(self._optuna.ask())
        before = known[number]
        values = before.intermediate_values
        best = min(values.values(), default=math.inf)
        trial = optuna.trial.Trial(self._optuna, before._trial_id)
        return _Told(trial, max(values, default=0), best, before.state.is_finished())

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        value, step = result.get(METRIC), result.get(TIME)
        told = self._told.get(trial_id)
        if told is None or told.done:
            return
        if not isinstance(value, int | float) or not math.isfinite(value) or step is None:
            return
        if step > told.last:  # a resumed trial may repeat an evaluation
            told.trial.report(value, step)
            told.last = step
        told.best = min(value, told.best)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        told = self._told.get(trial_id)
        if told is None or told.done:
            return
        # Of the report at which a trial is stopped, the last of a whole one too, Ray tells a searcher only here.
        self.on_trial_result(trial_id, {} if error or result is None or result.get("diverged") else result)
        told.done = True
        if error or not math.isfinite(told.best):
            outcome: tuple[float | None, TrialState] = (None, TrialState.FAIL)
        elif told.last >= self._study.tune.max_evaluations:
            outcome = (told.best, TrialState.COMPLETE)
        else:
            outcome = (None, TrialState.PRUNED)  # Optuna then uses the values reported so far
        self._optuna.tell(told.trial, outcome[0], state=outcome[1])

    def catch_up(self, logs: Iterable[TrialLog]) -> None:
        """Tell Optuna of the finished trials that it takes for running: a run ended before Ray told of their end."""
        known = self._optuna.get_trials(deepcopy=False)
        for log in logs:
            number = log.number
            if log.state not in FINISHED or number >= len(known) or known[number].state.is_finished():
                continue
            self._told[log.trial_id] = self._of_optuna(number)
            for record in log.records:
                self.on_trial_result(log.trial_id, {} if record["diverged"] else record)
            self.on_trial_complete(log.trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal and the trials' logs are the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, as in :meth:`save`."""


def folder_of(trial: Trial) -> str:
    """Where Ray keeps a trial's checkpoints: under our id, which is readable, and Ray's, which is never given twice."""
    return f"{trial.config['trial_id']}-{trial.trial_id}"


def _sampler(study: StudyConfig, seed: int) -> optuna.samplers.BaseSampler:
    if study.tune.searcher == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # constant_liar: running trials count as poor, so that slots side by side get different proposals.
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=study.tune.startup_trials, constant_liar=True)
