"""What ``run`` and ``retrain`` print while they run: a line for each event, and on a terminal a bar below the lines."""

from __future__ import annotations

import shutil
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from autogan_ray.cli.text import clock, echo, number, printable, relaxation_label

if TYPE_CHECKING:
    from autogan_ray.config.sections import TuneConfig
    from autogan_ray.results.trial_log import TrialLog
    from autogan_ray.study.plan import Plan

Part = tuple[int, str]
"""A part of a line with its separator before it; of a line that is too long, parts of the highest number go first."""

_ERASED = "\r\x1b[K"
_BAR = 30


class Console(ABC):
    """Prints a line for each event of a recorder; picklable, as Ray copies its callbacks.

    A file gets whole lines. On a terminal, lines that are too long for it lose their least important parts, so that an
    event takes one line.

    Args:
        tune: number of trials, and how many evaluations are to be expected of them.
        slots: number of trials side by side.
        trials: what the trials are called.
    """

    def __init__(self, tune: TuneConfig, slots: int, trials: str = "trials") -> None:
        self._tune, self._standing = tune, Standing(tune, slots, trials)
        self._start = time.monotonic()

    def __call__(self, event: dict[str, Any]) -> None:
        if event["kind"] == "note":
            click.echo((_ERASED if sys.stdout.isatty() else "") + f"warning: {event['text']}")
            return
        self._standing.update([event["trial"]] if self._standing.begun else self._logs(event))
        if event["kind"] == "start":
            return
        if not sys.stdout.isatty():
            echo(fitted(self._parts(event), None))
            return
        columns = shutil.get_terminal_size().columns
        click.echo(_ERASED + printable(fitted(self._parts(event), columns)))
        click.echo(self._standing.bar()[:columns], nl=False)

    def end(self) -> None:
        """Ends the line of the bar, where there is one."""
        if sys.stdout.isatty():
            click.echo("")

    def _logs(self, event: dict[str, Any]) -> Iterable[TrialLog]:
        """The logs of the trials that are told of, as far as there are any."""
        logs: Iterable[TrialLog] = event["logs"]
        return logs

    @abstractmethod
    def _parts(self, event: dict[str, Any]) -> list[Part]:
        """The line of an event."""

    def _clock(self) -> str:
        return f"[{clock(time.monotonic() - self._start)}]"

    def _left_and_spent(self) -> list[Part]:
        """What is left, and what was spent."""
        parts, left_s = list[Part](), self._standing.seconds_left()
        if left_s:
            parts.append((1, f", about {clock(left_s)} left"))
        if self._tune.gpus_per_trial:
            parts.append((2, f", {self._standing.spent_s * self._tune.gpus_per_trial / 3600:.3g} GPU hours"))
        return parts


class Progress(Console):
    """Prints what happens in a study."""

    def __init__(self, plan: Plan) -> None:
        from autogan_ray.metrics.extractors.registry import metric_label

        super().__init__(plan.study.tune, plan.slots)
        self._metric = metric_label(plan.study.metrics.extractor)

    def _parts(self, event: dict[str, Any]) -> list[Part]:
        log: TrialLog = event["trial"]
        lead = f"{self._clock()} {log.trial_id}"
        if event["kind"] == "end":
            done = f"{self._standing.ended}/{self._tune.num_trials} trials done"
            return [(0, f"{lead} {event['status']:<10}"), (0, f" {done}"), *self._so_far(", ")]
        record, config = event["record"], log.about["config"]
        entropies = f"{number(record['entropy_g'], '.2f')}/{number(record['entropy_d'], '.2f')}"
        return [
            (0, f"{lead} evaluation {record['evaluation']}:"),
            (3, f" {self._metric}"),
            (0, f" {record['fid']:.4g}"),
            (5, f" (supernet {number(record['fid_supernet'])})"),
            (6, f"  {config['space']} {relaxation_label(config)}"),
            (4, f" entropy {entropies}"),
            *self._so_far("  "),
        ]

    def _so_far(self, separator: str) -> list[Part]:
        """The best score, what is left, and what was spent."""
        best = self._standing.best
        told = "no score yet" if best is None else f"best {best[0]:.4g} ({best[2]})"
        return [(0, separator + told), *self._left_and_spent()]


def fitted(parts: Sequence[Part], columns: int | None) -> str:
    """Returns a line of the parts, in their order, without the least important ones where it would be too long.

    Args:
        columns: that a line may have; None sets no limit.

    >>> fitted([(0, "t0001"), (2, " of autogan"), (1, ", 0:09 left")], 18)
    't0001, 0:09 left'
    """
    kept = list(parts)
    while columns is not None and sum(len(text) for _, text in kept) > columns:
        least = max(rank for rank, _ in kept)
        if least == 0:
            break
        kept = [part for part in kept if part[0] != least]
    return "".join(text for _, text in kept)


class Standing:
    """How far a study is. It is kept up to date trial by trial, as a study may have thousands of trials.

    Args:
        slots: number of trials side by side.
        trials: what they are called.
    """

    def __init__(self, tune: TuneConfig, slots: int, trials: str = "trials") -> None:
        self._tune, self._slots, self._trials = tune, slots, trials
        self._known: dict[str, tuple[int, float]] = {}  # trial -> its evaluations, and the seconds that they took
        self._live: dict[str, TrialLog] = {}
        self._evaluations, self._paces, self._with_pace = 0, 0.0, 0
        self.spent_s = 0.0
        self.best: tuple[float, int, str] | None = None
        """The best score, minus the number of its trial's evaluations (of equal trials the longer one), its trial."""

    @property
    def begun(self) -> bool:
        return bool(self._known)

    @property
    def ended(self) -> int:
        """Number of trials that have come to their end; one that was interrupted goes on in a later run."""
        return len(self._known) - len(self._live)

    def update(self, logs: Iterable[TrialLog]) -> None:
        """Takes notice of trials that are new, or of which something is new."""
        from autogan_ray.results.trial_log import ENDED

        for log in logs:
            count, spent_s = len(log.evaluations), log.records[-1]["wall_s"] if log.evaluations else 0.0
            old_count, old_s = self._known.get(log.trial_id, (0, 0.0))
            self._known[log.trial_id] = count, spent_s
            self._evaluations += count - old_count
            self.spent_s += spent_s - old_s
            self._paces += spent_s / max(count, 1) - old_s / max(old_count, 1)
            self._with_pace += (count > 0) - (old_count > 0)
            if log.best is not None:
                scored = (log.best["fid"], -count, log.trial_id)
                self.best = scored if self.best is None else min(scored, self.best)
            self._live.pop(log.trial_id, None)
            if log.state not in ENDED - {"interrupted"}:
                self._live[log.trial_id] = log

    def bar(self) -> str:
        """Returns the share of the evaluations that are done among these and those that are expected to come, and for
        how long it is expected to go on."""
        done = self._evaluations
        share = done / max(done + sum(self._left()) + self._to_come() * self._each_to_come(), 1)
        full = round(_BAR * share)
        running = sum(log.state == "running" for log in self._live.values())
        left_s = self.seconds_left()
        return (
            f"[{'#' * full}{'-' * (_BAR - full)}] {share:.0%}  {self.ended}/{self._tune.num_trials} {self._trials}, "
            f"{running} running" + (f", {clock(left_s)} left" if left_s else "")
        )

    def _left(self) -> list[float]:
        """The evaluations that are expected of each trial that has not ended; with ASHA not all."""
        from autogan_ray.study.cost import expected_evaluations

        return [expected_evaluations(self._tune, len(log.evaluations)) for log in self._live.values()]

    def _to_come(self) -> int:
        """Number of trials that nothing is known of yet."""
        return max(0, self._tune.num_trials - len(self._known))

    def _each_to_come(self) -> float:
        from autogan_ray.study.cost import expected_evaluations

        return expected_evaluations(self._tune, 0)

    def seconds_left(self) -> float | None:
        """Returns how long the study is expected to go on, by what an evaluation took so far.

        Trials differ in cost: one that runs is taken to go on at its own pace, and one to come at the mean pace.

        Returns None while nothing is measured, and where nothing is left.
        """
        if not self._with_pace:
            return None
        mean = self._paces / self._with_pace
        each = []
        for left, (count, spent_s) in zip(self._left(), map(self._known.__getitem__, self._live), strict=True):
            each.append(left * (spent_s / count if count else mean))
        to_come_s = self._each_to_come() * mean if self._to_come() else 0.0
        total = sum(each) + self._to_come() * to_come_s
        return max(total / self._slots, to_come_s, *each) if each or self._to_come() else None
