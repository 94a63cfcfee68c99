"""The curves of a study's trials for TensorBoard, MLflow and Weights & Biases, written by Ray's own callbacks.

Ray's callbacks would write what Ray knows of a trial: a report's few numbers, and its settings as one text. Here they
are handed a stand-in for each trial, which has the study's names, every setting and all numbers of an evaluation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from autogan_ray.base.errors import ConfigError
from autogan_ray.base.signals import interrupted
from autogan_ray.config.tracking import go_without
from autogan_ray.results.grids import decode_grid
from autogan_ray.results.trial_log import TrialLog

FOLDER = "tensorboard"
"""Folder of TensorBoard's files in the study's folder, with a folder for each trial."""


class ShownTrial:
    """What Ray's callbacks read of a trial.

    Args:
        folder: for the tracker's files.
    """

    def __init__(self, study: str, log: TrialLog, folder: Path) -> None:
        # Unique among studies of the same name, and the same for a trial that goes on in a later run.
        self.trial_id = f"{study}-{log.trial_id}-{int(log.status.get('started_at', 0))}"
        self.experiment_dir_name, self._name = study, f"{study}-{log.trial_id}"
        self.config = self.evaluated_params = flat_settings(log.about["config"])
        self.local_path = str(folder)

    def __str__(self) -> str:
        return self._name

    def init_local_path(self) -> None:
        Path(self.local_path).mkdir(parents=True, exist_ok=True)


class Tracking:
    """Passes the evaluations of a study on to trackers; a listener of the recorder.

    A tracker that fails is left out from then on, with a warning: it ends no study. Ray pickles the listener; a copy
    begins without open files.

    Args:
        study: its name.
        folder: of the study.
        trackers: their names in the setting ``tracking``.
    """

    def __init__(self, study: str, folder: Path, trackers: Sequence[str]) -> None:
        self._study, self._folder, self._names = study, folder, tuple(trackers)
        self._loggers: dict[str, Any] | None = None
        self._shown: dict[str, ShownTrial] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._study, self._folder, self._names)

    def __call__(self, event: Mapping[str, Any]) -> None:
        log = event.get("trial")
        if log is None:
            return
        if event["kind"] == "evaluation":
            record = event["record"]
            if log.trial_id not in self._shown:
                shown = self._shown[log.trial_id] = ShownTrial(self._study, log, self._folder / FOLDER / log.trial_id)
                self._each(lambda logger: logger.log_trial_start(shown))
            shown, result = self._shown[log.trial_id], numbers(record)
            self._each(lambda logger: logger.log_trial_result(record["evaluation"], shown, dict(result)))
            if event.get("png") is not None:
                # With nothing else: scalars would be written twice.
                picture = {"training_iteration": record["evaluation"], "images": decode_grid(event["png"])}
                self._each(lambda logger: logger.log_trial_result(record["evaluation"], shown, picture), "tensorboard")
        elif event["kind"] == "end":
            self._end(log.trial_id, failed=event["status"] == "error")

    def close(self) -> None:
        """Ends the trials that did not come to their end, and waits until all is handed over.

        After a signal there is no waiting: nothing is asked of processes that may be gone.
        """
        if interrupted() and self._loggers is not None:
            self._loggers.pop("wandb", None)
        for trial_id in list(self._shown):
            self._end(trial_id, failed=True)
        if not interrupted():
            self._each(lambda logger: logger.on_experiment_end([]))

    def _end(self, trial_id: str, failed: bool) -> None:
        shown = self._shown.pop(trial_id, None)
        if shown is not None:
            self._each(lambda logger: logger.log_trial_end(shown, failed=failed))

    def _each(self, do: Callable[[Any], None], only: str | None = None) -> None:
        """Calls each tracker's logger, or that of one; they are made when the first of them is needed."""
        if self._loggers is None:
            self._loggers = dict.fromkeys(self._names)
        for name in [name for name in self._loggers if only in (None, name)]:
            try:
                if self._loggers[name] is None:
                    self._loggers[name] = _MAKERS[name](self._study)
                do(self._loggers[name])
            except Exception as error:
                del self._loggers[name]
                logging.getLogger(__name__).warning("tracking goes on without %s: %s", name, error)


def numbers(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the numbers of an evaluation, with its number as Ray's ``training_iteration``, by which curves are drawn.

    The score of a diverged trial is a penalty and is left out.
    """
    scores = {"fid"} if record["diverged"] else set()
    plain = {
        name: value
        for name, value in record.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in scores | _NOT_CURVES
    }
    return plain | {"training_iteration": record["evaluation"]}


_NOT_CURVES = {"timestamp", "pid", "attempt", "evaluation"}


def flat_settings(config: Mapping[str, Any], lead: str = "") -> dict[str, Any]:
    """Returns a trial's settings under dotted names, without those that are None; a list becomes a text.

    >>> flat_settings({"seed": 1, "optim": {"lr_g": 0.1, "betas": [0.0, 0.9], "clip": None}})
    {'seed': 1, 'optim.lr_g': 0.1, 'optim.betas': '[0.0, 0.9]'}
    """
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= flat_settings(value, f"{lead}{name}.")
        elif value is not None:
            flat[lead + name] = value if isinstance(value, str | int | float) else str(value)
    return flat


def _tensorboard(study: str) -> Any:
    from ray.tune.logger import TBXLoggerCallback

    class TensorBoard(TBXLoggerCallback):
        def log_trial_end(self, trial: Any, failed: bool = False) -> None:
            writer = self._trial_writer.get(trial)
            files = list((writer.all_writers or {}).values()) if writer is not None else []
            super().log_trial_end(trial, failed)
            for file in files:
                # tensorboardX keeps each file's writer until the process ends, to close it once more then.
                file.event_writer = _CLOSED

    return TensorBoard()


_CLOSED = SimpleNamespace(close=lambda: None)


def _mlflow(study: str) -> Any:
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    logger = MLflowLoggerCallback(experiment_name=study)
    logger.setup()
    return logger


def check_key(tracking: Sequence[str]) -> None:
    """Raises ConfigError where Weights & Biases is to draw and lacks a key, by its callback's own rule.

    No server is asked whether a key is right.
    """
    if "wandb" not in tracking or find_spec("wandb") is None:
        return
    try:
        _wandb("")
    except ValueError as error:
        ways = "wandb login, or WANDB_API_KEY; or keep its runs on this machine: WANDB_MODE=offline"
        raise ConfigError(f"tracking: wandb has no key: {ways}; {go_without(tracking, ['wandb'])}") from error


def _wandb(study: str) -> Any:
    import os

    from ray.air.integrations.wandb import WandbLoggerCallback

    # A trial that goes on in a later run goes on in the same run of Weights & Biases.
    logger = WandbLoggerCallback(project=os.environ.get("WANDB_PROJECT", "autogan_ray"), group=study, resume="allow")
    logger.setup()
    return logger


_MAKERS: dict[str, Callable[[str], Any]] = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}
