"""What an earlier run of a study left to do, read from the logs of its trials: Ray's own state is not asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from autogan_ray.config import TrialConfig
from autogan_ray.errors import ConfigError
from autogan_ray.results.trial_log import TrialLog

FINISHED = frozenset({"complete", "pruned", "diverged"})
"""Trials that ended in another way, an error included, are taken up again when a study goes on."""


@dataclass(frozen=True)
class Unfinished:
    """A trial to take up.

    Args:
        number: of the trial in its study, from 0.
        config: None where it was never told: then it is proposed again.
        checkpoint: path or URI of its newest one; None: it begins anew.
    """

    number: int
    config: TrialConfig | None = None
    checkpoint: str | None = None


def unfinished(logs: Iterable[TrialLog], experiment: str) -> tuple[list[Unfinished], int]:
    """Trials to take up, by number, and the number of the first new one.

    Args:
        experiment: path or URI of the folder that holds Ray's folders of the trials.
    """
    told = {int(log.trial_id[1:]): log for log in logs}
    first = max(told, default=-1) + 1
    found = []
    for number in range(first):
        log = told.get(number)
        if log is None or not log.about:  # Optuna was asked, and then the driver died
            found.append(Unfinished(number))
        elif log.state not in FINISHED:
            config = TrialConfig.parse(log.about["config"], f"trial {log.trial_id}", ConfigError)
            found.append(Unfinished(number, config, _checkpoint(log, experiment)))
    return found, first


def _checkpoint(log: TrialLog, experiment: str) -> str | None:
    """Where the log says, or in the same two folders under ``experiment``: a study's folder may have been moved."""
    told = log.status.get("checkpoint_path")
    if told is None:
        return None
    if "://" in experiment:
        return f"{experiment.split('://')[0]}://{told}"
    path = Path(told)
    places = (path, Path(experiment, *path.parts[-2:]))
    return next((str(place) for place in places if place.is_dir()), None)
