"""Replays recorded curves under settings of ASHA: what a setting costs, and how often it stops the best trial.

The decisions of asynchronous successive halving (Li et al., "A System for Massively Parallel Hyperparameter Tuning",
MLSys 2020) are those of Ray's own scheduler, as studies use it (:mod:`autogan_ray.tune.asha`); no cluster is started.
What cannot be replayed is the searcher: it proposed the trials once, whatever is stopped here.
"""

from __future__ import annotations

import heapq
import math
import pickle
from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import ray
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from autogan_ray.base.errors import MachineError
from autogan_ray.config.search_length import rung_evaluations
from autogan_ray.config.sections import TuneConfig
from autogan_ray.results.search_curves import SearchCurve
from autogan_ray.tune.asha import asha_arguments
from autogan_ray.tune.optuna_search import METRIC, TIME
from autogan_ray.tune.ray_internals import BRACKETS, CUTOFF, RUNGS, usable

CHECKED_EVERY = 50
"""Of so many orders, one is replayed a second time with Ray's own percentile, and must come out the same."""
FEWEST_CURVES = 8
"""Of a setting that judges fewer curves at its first decision, nothing can be concluded."""
FEWEST_ORDERS = 30
"""In fewer orders, the bootstrap's intervals of means are too narrow; those of one order are points."""

_Z = 1.96
"""Normal quantile of an interval of 95 %."""
_RESAMPLES = 1000
"""Of the bootstrap."""


@dataclass(frozen=True)
class Setting:
    """One setting of ASHA.

    Args:
        grace: evaluations before the first decision, at least 1.
        factor: reduction factor, above 1.
        best_so_far: whether a trial is judged by its lowest score until the rung, in place of its score at the rung.
    """

    grace: int
    factor: float
    best_so_far: bool = False

    def due(self, last: int) -> list[int]:
        """Returns the evaluations at which the scheduler decides, of trials of ``last`` evaluations."""
        return rung_evaluations(self.grace, self.factor, last)


@dataclass(frozen=True, eq=False)
class Fates:
    """What became of each trial in one order of arrival.

    Args:
        ran: [trials] evaluations that the trial ran.
        stopped: [trials] whether the scheduler stopped it.
    """

    ran: np.ndarray
    stopped: np.ndarray


class Replay:
    """Curves under one setting of ASHA, in any order of arrival.

    Trials take the next free slot, and an evaluation takes a trial as long as its curve says; of reports at the same
    time that of the trial that arrived first is heard first. (Were all trials equally fast, they would come to each
    rung in the order of their arrival, whatever the number of slots.) A diverged trial ends and enters no rung. A trial
    whose curve was cut ends where its curve ends.

    The scheduler is asked at ``due`` evaluations alone, as it does nothing at others. Most of its time goes into a
    percentile, which numpy finds anew at each decision; here a rung keeps its scores in order, where this version of
    Ray allows it. :meth:`run` can do without.

    Args:
        curves: none longer than ``last``.
        last: evaluations of a trial that runs to its end.
        slots: trials side by side, at least 1.
        due: evaluations at which the scheduler is asked; None: :meth:`Setting.due`.
    """

    def __init__(
        self,
        curves: Sequence[SearchCurve],
        last: int,
        setting: Setting,
        slots: int,
        due: Iterable[int] | None = None,
    ) -> None:
        self._slots, self._paces = slots, [curve.pace for curve in curves]
        self._trials: list[Any] = [SimpleNamespace(trial_id=str(index)) for index in range(len(curves))]
        judged = [np.fmin.accumulate(curve.fids) if setting.best_so_far else curve.fids for curve in curves]
        asked = list(setting.due(last) if due is None else due)
        self._reports: list[list[tuple[int, dict[str, Any] | None]]] = []
        self._ends: list[dict[str, Any] | None] = []
        for curve, fids in zip(curves, judged, strict=True):
            told = len(fids) - curve.diverged
            reports = [(evaluation, _report(fids, evaluation)) for evaluation in asked if evaluation <= told]
            self._reports.append([*reports, (len(fids), None)])
            self._ends.append(_report(fids, last) if told == last else None)
        tune = TuneConfig(max_evaluations=last, grace_evaluations=setting.grace, reduction_factor=setting.factor)
        scheduler = ASHAScheduler(**asha_arguments(tune))
        for trial in self._trials:  # Ray only notes the bracket of a trial then: when it is told does not matter
            scheduler.on_trial_add(None, trial)  # type: ignore[arg-type]
        # A copy from bytes takes a fiftieth of the time of a new scheduler that is told of each trial.
        self._own = self._fast = pickle.dumps(scheduler)
        if usable(BRACKETS, RUNGS, CUTOFF):
            _keep_in_order(scheduler)
            self._fast = pickle.dumps(scheduler)

    def run(self, order: Sequence[int], own_percentile: bool = False) -> Fates:
        """Replays one order of arrival.

        Args:
            order: the trials' places in ``curves``, each once, the first to arrive first.
            own_percentile: whether Ray's scheduler runs as it is, which takes twenty times as long.
        """
        scheduler = pickle.loads(self._own if own_percentile else self._fast)
        ran, stopped = np.zeros(len(order), int), np.zeros(len(order), bool)
        arriving = enumerate(order)
        # Time of the report, place in the order, trial, which of its reports, when the trial began.
        events = [(self._time(trial, 0, 0.0), place, trial, 0, 0.0) for place, trial in islice(arriving, self._slots)]
        heapq.heapify(events)
        while events:
            time, place, trial, number, began = events[0]
            evaluation, result = self._reports[trial][number]
            if result is not None:
                decision = scheduler.on_trial_result(None, self._trials[trial], result)
                if decision != TrialScheduler.STOP:
                    number += 1
                    heapq.heapreplace(events, (self._time(trial, number, began), place, trial, number, began))
                    continue
                stopped[trial] = True
            elif self._ends[trial] is not None:
                scheduler.on_trial_complete(None, self._trials[trial], self._ends[trial])
            ran[trial] = evaluation
            following = next(arriving, None)
            if following is None:
                heapq.heappop(events)
            else:
                place, trial = following
                heapq.heapreplace(events, (self._time(trial, 0, time), place, trial, 0, time))
        return Fates(ran, stopped)

    def _time(self, trial: int, number: int, began: float) -> float:
        """When a trial that began at a time sends one of its reports."""
        return began + self._reports[trial][number][0] * self._paces[trial]


def _report(fids: np.ndarray, evaluation: int) -> dict[str, Any]:
    return {TIME: evaluation, METRIC: float(fids[evaluation - 1])}


class _Rung(dict[str, float]):
    """A rung of Ray's, trial -> reward, that also keeps the rewards in order."""

    def __init__(self) -> None:
        super().__init__()
        self.ordered: list[float] = []

    def __setitem__(self, trial_id: str, reward: float) -> None:
        insort(self.ordered, reward)
        super().__setitem__(trial_id, reward)


def _keep_in_order(scheduler: Any) -> None:
    """Gives a scheduler without scores rungs that keep their scores in order, and the percentile of such."""
    for bracket in scheduler._brackets:
        bracket._rungs = [(rung, _Rung()) for rung, _ in bracket._rungs]
        bracket.cutoff = partial(_cutoff, (1 - 1 / bracket.rf) * 100 / 100)


def _cutoff(quantile: float, rung: _Rung) -> float | None:
    """The quantile of a rung, linear between two neighbours, to the bit as ``numpy.nanpercentile`` has it."""
    ordered = rung.ordered
    if not ordered:
        return None
    place = (len(ordered) - 1) * quantile
    below = int(place)
    low, high, share = ordered[below], ordered[min(below + 1, len(ordered) - 1)], place - below
    return low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share)


def simulate(
    curves: Sequence[SearchCurve],
    last: int,
    settings: Iterable[Setting],
    orders: int,
    slots: int,
    seed: int = 0,
) -> pd.DataFrame:
    """Replays curves under settings of ASHA in random orders of arrival, the same for all settings.

    Args:
        curves: of trials; none longer than ``last``, and one at least with a score.
        last: evaluations of a trial that runs to its end.
        orders: how many orders, at least 1.
        slots: trials side by side, at least 1.
        seed: of the orders and of random stopping.

    Returns one row without a scheduler, then one of each setting:

    * ``scheduler``, ``best_so_far``, ``grace_evaluations``, ``reduction_factor``, ``decides_at``: the setting;
    * ``cost``: the share of all recorded evaluations that were run, 0 to 1;
    * ``best_survives``: the share of orders in which the trial with the lowest score was not stopped;
    * ``regret``: the lowest score among the evaluations that were run, less the lowest of all; ``regret_ratio``: this
      as a share of the lowest of all;
    * the same of random stopping, ``random_cost`` and so on: in each order the same number of trials is stopped at the
      same rungs, but which trials is drawn;
    * ``stopped`` trials and ``decisions`` in an order, means;
    * ``judged``: the curves that have a score at the first decision;
    * ``beyond``: decisions (or ends of trials) in an order that would have fallen beyond the end of a cut curve, at
      most one of a trial, mean; ``cut``: their share of all decisions, made or not.

    Values with ``_low`` and ``_high`` have intervals of 95 % over orders: Wilson's for shares of orders, percentiles of
    the bootstrap for means. They say nothing of other curves than these.

    Raises MachineError where Ray's own percentile decides otherwise than the one that is used here.
    """
    rng = np.random.default_rng(seed)
    arrivals = [rng.permutation(len(curves)) for _ in range(orders)]
    lots = np.array([rng.permutation(len(curves)) for _ in range(orders)])
    outcome = _Outcomes(curves, last, rng.multinomial(orders, np.full(orders, 1 / orders), _RESAMPLES) / orders)
    nothing = Fates(np.tile(outcome.lengths, (orders, 1)), np.zeros((orders, len(curves)), bool))
    rows = [{"scheduler": "none", **outcome.row(nothing, lots, [])}]
    for setting in settings:
        fates = _all_orders(Replay(curves, last, setting, slots), arrivals)
        named = {
            "scheduler": "asha",
            "best_so_far": setting.best_so_far,
            "grace_evaluations": setting.grace,
            "reduction_factor": float(setting.factor),
        }
        rows.append(named | outcome.row(fates, lots, setting.due(last)))
    table = pd.DataFrame(rows)
    return table.astype({"best_so_far": "boolean", "grace_evaluations": "Int64"})


def _all_orders(replay: Replay, arrivals: Sequence[np.ndarray]) -> Fates:
    """The fates in all orders, [orders, trials]. Raises MachineError as :func:`simulate` does."""
    found = []
    for number, order in enumerate(arrivals):
        fates = replay.run(order.tolist())
        if number % CHECKED_EVERY == 0:
            own = replay.run(order.tolist(), own_percentile=True)
            if not np.array_equal(fates.ran, own.ran):
                trial = int(np.flatnonzero(fates.ran != own.ran)[0])
                raise MachineError(
                    f"Ray {ray.__version__} with numpy {np.__version__} stops curve {trial} after {own.ran[trial]} "
                    f"evaluations, the replay after {fates.ran[trial]}: this version cannot be simulated"
                )
        found.append(fates)
    return Fates(np.array([fates.ran for fates in found]), np.array([fates.stopped for fates in found]))


class _Outcomes:
    """What fates of the trials of these curves come to.

    Args:
        weights: [resamples, orders], how often a resample of the bootstrap has an order, as a share.
    """

    def __init__(self, curves: Sequence[SearchCurve], last: int, weights: np.ndarray) -> None:
        self._weights = weights
        self.lengths = np.array([len(curve.fids) for curve in curves])
        self._told = self.lengths - [curve.diverged for curve in curves]
        self._cut = np.array([curve.is_cut(last) for curve in curves])
        # [trials, last + 1]: the lowest score after so many evaluations.
        self._best = np.full((len(curves), last + 1), np.inf)
        for row, curve in zip(self._best, curves, strict=True):
            row[1 : len(curve.fids) + 1] = curve.fids
        self._best = np.fmin.accumulate(self._best, axis=1)
        self._winners = self._best[:, -1] == self._best.min()

    def row(self, fates: Fates, lots: np.ndarray, due: list[int]) -> dict[str, Any]:
        """The columns of :func:`simulate` for fates in all orders.

        Args:
            fates: [orders, trials].
            lots: [orders, trials], a permutation of the trials for each order: random stopping gives a trial the stop
                of another.
            due: evaluations at which the scheduler decides.
        """
        stop = np.where(fates.stopped, fates.ran, self._best.shape[1])
        drawn = np.take_along_axis(stop, lots, axis=1)
        by_lot = Fates(np.minimum(drawn, self.lengths), drawn <= self.lengths)
        made = sum((np.minimum(fates.ran, self._told) >= evaluation).sum() for evaluation in due)
        missing = (self._cut & ~fates.stopped).sum() if due else 0
        return {
            "decides_at": due,
            **self._measured(fates),
            **{f"random_{name}": value for name, value in self._measured(by_lot).items()},
            "stopped": fates.stopped.sum(axis=1).mean(),
            "decisions": made / len(lots),
            "judged": (self._told >= due[0]).sum() if due else 0,
            "beyond": missing / len(lots),
            "cut": missing / max(1, made + missing),
        }

    def _measured(self, fates: Fates) -> dict[str, float]:
        found = self._best[np.arange(len(self._best)), fates.ran].min(axis=1)
        kept = (~fates.stopped & self._winners).any(axis=1)
        regret, lowest = found - self._best.min(), self._best.min()
        return {
            **self._mean("cost", fates.ran.sum(axis=1) / self.lengths.sum()),
            **_share("best_survives", kept),
            **self._mean("regret", regret),
            "regret_ratio": regret.mean() / lowest if lowest else np.nan,
        }

    def _mean(self, name: str, values: np.ndarray) -> dict[str, float]:
        """A mean over orders with the percentiles of its bootstrap, which leave no range that values have."""
        low, high = np.percentile(self._weights @ values, (2.5, 97.5))
        return {name: values.mean(), f"{name}_low": low, f"{name}_high": high}


def _share(name: str, kept: np.ndarray) -> dict[str, float]:
    """A share with its interval of 95 % after Wilson (1927), which is no point where the share is 0 or 1."""
    share, count = kept.mean(), len(kept)
    middle = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z / (1 + _Z**2 / count) * (share * (1 - share) / count + _Z**2 / (4 * count**2)) ** 0.5
    return {name: share, f"{name}_low": max(0.0, middle - half), f"{name}_high": min(1.0, middle + half)}


def fewest_orders(may_lose: float) -> int:
    """Returns how many orders it takes to advise a setting.

    One that keeps the best trial in all of n orders has n / (n + z^2) as the lower end of Wilson's interval, which must
    be 1 - ``may_lose`` at least.
    """
    return max(FEWEST_ORDERS, math.ceil(_Z**2 * (1 - may_lose) / may_lose))


def share_beyond(table: pd.DataFrame) -> float:
    """Returns which share of the decisions of all settings would have fallen beyond the ends of cut curves."""
    beyond = float(table["beyond"].sum())
    return beyond / max(1.0, beyond + float(table["decisions"].sum()))


def advised(table: pd.DataFrame, may_lose: float, cut_limit: float) -> tuple[pd.Series | None, pd.DataFrame]:
    """Returns the row of :func:`simulate` to be advised, or None, and the rows of cheaper settings that are undecided.

    A setting that judges by the score at the rung, as studies do, beats running all trials whole where it

    * keeps the best trial in all but ``may_lose`` of the orders, with the whole of its interval;
    * has less regret than random stopping at the same cost, with intervals that do not meet.

    It is undecided where that interval has the limit inside, more than ``cut_limit`` of its decisions lie beyond the
    ends of cut curves, or fewer than ``FEWEST_CURVES`` are judged. Advised is the cheapest of the others. Where there
    is none, and nothing is undecided, no setting beats running all trials whole.

    Args:
        table: of :func:`fewest_orders` orders at least.
    """
    asha = table[(table["scheduler"] == "asha") & ~table["best_so_far"].fillna(True).astype(bool)]
    kept = asha["best_survives_high"] >= 1 - may_lose
    better = asha["regret_high"] < asha["random_regret_low"]
    good = asha[kept & better].sort_values(["cost", "regret"])
    decided = (good["best_survives_low"] >= 1 - may_lose) & (good["cut"] <= cut_limit)
    decided &= good["judged"] >= FEWEST_CURVES
    if not decided.any():
        return None, good
    first = int(decided.to_numpy().argmax())
    return good.iloc[first], good.iloc[:first]
