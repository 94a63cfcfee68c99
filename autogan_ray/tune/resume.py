"""Which trials of a study are still to be run, read from the trials' logs and not from Ray's own state."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune

from autogan_ray.base.errors import ConfigError, ResultsError
from autogan_ray.config.study import TrialConfig
from autogan_ray.results.paths import is_uri
from autogan_ray.results.trial_log import FINISHED, TrialLog
from autogan_ray.training.checkpoint import load_state


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

    Where the log names none, as its end is lost, these are all that there are.

    A storage may have been moved, or a study's folder whose logs hold absolute paths: they then lie under
    ``experiment``. And a crash of the machine may have torn the newest checkpoint.
    """
    logged = log.status.get("checkpoint_path")
    if logged is None:
        return checkpoints_there(log.trial_id, experiment)
    trial, newest = Path(logged).parts[-2:]
    told = [logged] if is_uri(logged) else []
    if is_uri(experiment):
        scheme = experiment.partition("://")[0]
        # Earlier versions logged a path in a bucket without its scheme.
        return list(dict.fromkeys([*(told or [f"{scheme}://{logged}"]), f"{experiment}/{trial}/{newest}"]))
    places = dict.fromkeys([Path(folder, logged).parent, Path(experiment, trial)])
    found = [checkpoint for place in places for checkpoint in sorted(place.glob("checkpoint_*"), reverse=True)]
    # What was never told of may be torn: it is the last resort.
    found.sort(key=lambda checkpoint: checkpoint.name > newest)
    return told + [str(checkpoint) for checkpoint in found if checkpoint.is_dir()]


def state_of(source: str | tune.Checkpoint, needed: Set[str] = frozenset()) -> dict[str, Any]:
    """Returns the state in a checkpoint, given by its path or URI or by Ray.

    Raises ResultsError where it is not whole, or lacks something that is needed; OSError where it is gone.
    """
    checkpoint = tune.Checkpoint(source) if isinstance(source, str) else source
    with checkpoint.as_directory() as folder:
        state = load_state(Path(folder))
    if missing := sorted(needed - state.keys()):
        raise ResultsError(f"checkpoint {checkpoint.path!r} holds another training: without {', '.join(missing)}")
    return state


def checkpoints_there(trial_id: str, experiment: str) -> list[str]:
    """Returns all checkpoints of a trial, newest first, whatever its log says; none are found in a bucket."""
    if is_uri(experiment):
        return []
    found = [one for one in Path(experiment).glob(f"{trial_id}-*/checkpoint_*") if _trial_of(one.parent) == trial_id]
    return [str(checkpoint) for checkpoint in sorted(found, key=_age) if checkpoint.is_dir()]


def trials_with_checkpoints(experiment: str) -> set[str]:
    """Returns the ids of the trials of which a checkpoint is there; none are found in a bucket."""
    return set() if is_uri(experiment) else {_trial_of(one.parent) for one in Path(experiment).glob("*/checkpoint_*")}


def _trial_of(folder: Path) -> str:
    """The id of the trial whose checkpoints Ray keeps in a folder: ``t0003`` of ``t0003-8b2f1_00000``."""
    return folder.name.rpartition("-")[0]


def _age(checkpoint: Path) -> tuple[float, str]:
    """Sorts the newer first; checkpoints of one second by their names."""
    return -checkpoint.stat().st_mtime, checkpoint.name
