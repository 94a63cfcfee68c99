"""Which trials of a study are still to be run, read from the trials' logs and not from Ray's own state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.study import TrialConfig
from autogan_ray.results.paths import is_uri
from autogan_ray.results.trial_log import FINISHED, TrialLog


@dataclass(frozen=True)
class UnfinishedTrial:
    """A trial of an earlier run that has not come to its end.

    Args:
        number: of the trial in its study, from 0.
        config: None where the log does not have it; the trial is then proposed again.
        checkpoints: paths or URIs of checkpoints, newest first. The trial goes on from the first that is whole, and
            begins anew where there is none.
        attempt: how often the trial was resumed; records of a higher attempt replace those that they repeat.
    """

    number: int
    config: TrialConfig | None = None
    checkpoints: tuple[str, ...] = ()
    attempt: int = 0


def unfinished_trials(logs: Iterable[TrialLog], folder: Path, experiment: str) -> tuple[list[UnfinishedTrial], int]:
    """The unfinished trials in the order of their numbers, and the number of the first new trial.

    Args:
        folder: of the study, which the paths in its logs are relative to.
        experiment: path or URI of the folder that holds Ray's folders of the trials.
    """
    by_number = {log.number: log for log in logs}
    first = max(by_number, default=-1) + 1
    trials = []
    for number in range(first):
        log = by_number.get(number)
        if log is None or not log.about:  # the driver died between Optuna's proposal and the log's first line
            trials.append(UnfinishedTrial(number))
        elif log.state not in FINISHED:
            config = TrialConfig.parse(log.about["config"], f"trial {log.trial_id}", ConfigError)
            attempt = max((record["attempt"] for record in log.records), default=-1) + 1
            trials.append(UnfinishedTrial(number, config, tuple(checkpoints_of(log, folder, experiment)), attempt))
    return trials, first


def checkpoints_of(log: TrialLog, folder: Path, experiment: str) -> list[str]:
    """Returns the checkpoint that the log names, then older ones beside it, then those of the same names elsewhere.

    A storage may have been moved, or a study's folder whose logs hold absolute paths: they then lie under
    ``experiment``. And a crash of the machine may have torn the newest checkpoint.
    """
    logged = log.status.get("checkpoint_path")
    if logged is None:
        return []
    trial, newest = Path(logged).parts[-2:]
    told = [logged] if is_uri(logged) else []
    if is_uri(experiment):
        scheme = experiment.partition("://")[0]
        # Earlier versions logged a path in a bucket without its scheme.
        return list(dict.fromkeys([*(told or [f"{scheme}://{logged}"]), f"{experiment}/{trial}/{newest}"]))
    places = dict.fromkeys([Path(folder, logged).parent, Path(experiment, trial)])
    found = [checkpoint for place in places for checkpoint in sorted(place.glob("checkpoint_*"), reverse=True)]
    return told + [str(checkpoint) for checkpoint in found if checkpoint.name <= newest and checkpoint.is_dir()]
