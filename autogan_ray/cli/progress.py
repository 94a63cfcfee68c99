"""What ``run`` prints while a study runs: a line for each event, and on a terminal a bar below the lines."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
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


class Progress:
    """Prints a line for each event of the recorder; picklable, as Ray copies its callbacks.

    A file gets whole lines. On a terminal, lines that are too long for it lose their least important parts, so that an
    event takes one line.
    """

    def __init__(self, plan: Plan) -> None:
        from autogan_ray.metrics.extractors.registry import metric_label

        self._tune, self._slots = plan.study.tune, plan.slots
        self._metric = metric_label(plan.study.metrics.extractor)
        self._start = time.time()

    def __call__(self, event: dict[str, Any]) -> None:
        if event["kind"] == "note":
            click.echo((_ERASED if sys.stdout.isatty() else "") + f"warning: {event['text']}")
            return
        logs = list(event["logs"])
        if not sys.stdout.isatty():
            echo(fitted(self._parts(event, logs), None))
            return
        columns = shutil.get_terminal_size().columns
        click.echo(_ERASED + printable(fitted(self._parts(event, logs), columns)))
        click.echo(bar(self._tune, logs)[:columns], nl=False)

    def _parts(self, event: dict[str, Any], logs: Sequence[TrialLog]) -> list[Part]:
        log: TrialLog = event["trial"]
        lead = f"[{clock(time.time() - self._start)}] {log.trial_id}"
        if event["kind"] == "end":
            done = f"{len(ended(logs))}/{self._tune.num_trials} trials done"
            return [(0, f"{lead} {event['status']:<10}"), (0, f" {done}"), *self._so_far(logs, ", ")]
        record, config = event["record"], log.about["config"]
        entropies = f"{number(record['entropy_g'], '.2f')}/{number(record['entropy_d'], '.2f')}"
        return [
            (0, f"{lead} evaluation {record['evaluation']}:"),
            (3, f" {self._metric}"),
            (0, f" {record['fid']:.4g}"),
            (5, f" (supernet {number(record['fid_supernet'])})"),
            (6, f"  {config['space']} {relaxation_label(config)}"),
            (4, f" entropy {entropies}"),
            *self._so_far(logs, "  "),
        ]

    def _so_far(self, logs: Sequence[TrialLog], separator: str) -> list[Part]:
        """The best score, what is left, and what was spent."""
        from autogan_ray.results.rows import best_trial

        best = best_trial(logs)
        parts = [
            (
                0,
                separator
                + (f"best {best.best['fid']:.4g} ({best.trial_id})" if best and best.best else "no score yet"),
            )
        ]
        left_s = seconds_left(self._tune, logs, self._slots)
        if left_s:
            parts.append((1, f", about {clock(left_s)} left"))
        if self._tune.gpus_per_trial:
            spent_s = sum(log.records[-1]["wall_s"] for log in logs if log.records)
            parts.append((2, f", {spent_s * self._tune.gpus_per_trial / 3600:.3g} GPU hours"))
        return parts


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


def bar(tune: TuneConfig, logs: Sequence[TrialLog]) -> str:
    """Returns how far a study is, by the evaluations that are done and those that are expected to come."""
    done = sum(len(log.evaluations) for log in logs)
    share = done / max(done + sum(evaluations_left(tune, logs)), 1)
    full = round(_BAR * share)
    running = sum(log.state == "running" for log in logs)
    return (
        f"[{'#' * full}{'-' * (_BAR - full)}] {share:.0%}  {len(ended(logs))}/{tune.num_trials} trials, "
        f"{running} running"
    )


def ended(logs: Sequence[TrialLog]) -> list[TrialLog]:
    """Returns the trials that have come to their end; one that was interrupted goes on in a later run."""
    from autogan_ray.results.trial_log import ENDED

    return [log for log in logs if log.state in ENDED - {"interrupted"}]


def evaluations_left(tune: TuneConfig, logs: Sequence[TrialLog]) -> list[float]:
    """Returns how many evaluations are expected of each trial that runs or is still to come; with ASHA not all."""
    from autogan_ray.study.cost import expected_evaluations

    done = {log.trial_id for log in ended(logs)}
    running = [expected_evaluations(tune, len(log.evaluations)) for log in logs if log.trial_id not in done]
    return running + [expected_evaluations(tune, 0)] * max(0, tune.num_trials - len(logs))


def seconds_left(tune: TuneConfig, logs: Sequence[TrialLog], slots: int) -> float | None:
    """Returns how long a study is expected to go on, by what an evaluation took so far.

    Trials differ in cost: one that runs is taken to go on at its own pace, and one to come at the mean pace.

    Args:
        slots: number of trials side by side.

    Returns None while nothing is measured, and where nothing is left.
    """
    pace = {log.trial_id: log.records[-1]["wall_s"] / len(log.evaluations) for log in logs if log.records}
    if not pace:
        return None
    mean, done = sum(pace.values()) / len(pace), {log.trial_id for log in ended(logs)}
    own = [pace.get(log.trial_id, mean) for log in logs if log.trial_id not in done]
    left = evaluations_left(tune, logs)
    each = [count * (own[index] if index < len(own) else mean) for index, count in enumerate(left)]
    return max(sum(each) / slots, *each) if each else None
