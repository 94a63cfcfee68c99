"""What an earlier run of a study left to do, read from the logs of its trials: Ray's own state is not asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.study import TrialConfig
from autogan_ray.results.trial_log import FINISHED, TrialLog


@dataclass(frozen=True)
class Unfinished:
    """A trial to take up.

    Args:
        number: of the trial in its study, from 0.
        config: None where it was never told: then it is proposed again.
        checkpoints: paths or URIs of those to go on from, the first that is whole; without one it begins anew.
        attempt: how often it was taken up, so that repeated work can be told from what it repeats.
    """

    number: int
    config: TrialConfig | None = None
    checkpoints: tuple[str, ...] = ()
    attempt: int = 0


def unfinished(logs: Iterable[TrialLog], experiment: str) -> tuple[list[Unfinished], int]:
    """Trials to take up, by number, and the number of the first new one.

    Args:
        experiment: path or URI of the folder that holds Ray's folders of the trials.
    """
    told = {log.number: log for log in logs}
    first = max(told, default=-1) + 1
    found = []
    for number in range(first):
        log = told.get(number)
        if log is None or not log.about:  # Optuna was asked, and then the driver died
            found.append(Unfinished(number))
        elif log.state not in FINISHED:
            config = TrialConfig.parse(log.about["config"], f"trial {log.trial_id}", ConfigError)
            attempt = max((record["attempt"] for record in log.records), default=-1) + 1
            found.append(Unfinished(number, config, tuple(_checkpoints(log, experiment)), attempt))
    return found, first


def _checkpoints(log: TrialLog, experiment: str) -> list[str]:
    """Where the log says, then older ones beside it, and in the same folders under ``experiment``.

    A study's folder may have been moved, and the newest checkpoint may have been torn with the machine.
    """
    told = log.status.get("checkpoint_path")
    if told is None:
        return []
    trial, newest = Path(told).parts[-2:]
    if "://" in experiment:
        scheme = experiment.split("://")[0]
        return list(dict.fromkeys([f"{scheme}://{told}", f"{experiment}/{trial}/{newest}"]))
    places = dict.fromkeys([Path(told).parent, Path(experiment, trial)])
    folders = [folder for place in places for folder in sorted(place.glob("checkpoint_*"), reverse=True)]
    return [str(folder) for folder in folders if folder.name <= newest and folder.is_dir()]
