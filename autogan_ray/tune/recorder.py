"""The driver's ear: each report becomes a line of the trial's log, an event for the console, at times new tables."""

from __future__ import annotations

import json
import shutil
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.tune import Callback
from ray.tune.experiment import Trial

from autogan_ray.results.tables import Tables
from autogan_ray.results.trial_log import ENDED, TrialLog, TrialLogs
from autogan_ray.study.study_file import read_about, write_about

Event = dict[str, Any]
Listener = Callable[[Event], None]


class Recorder(Callback):
    """Ray pickles its callbacks: the state of this one is the study folder, from which it reads itself again.

    Args:
        folder: of the study.
        planned: evaluations of a trial that runs to its end.
        listener: gets one event a report and one a trial's end; must be picklable.
    """

    SHORTEST_S = 10.0
    """Tables are not rewritten more often than this, nor for more than a thousandth of the time."""

    def __init__(self, folder: Path, planned: int, stopped: Callable[[], set[str]], listener: Listener | None) -> None:
        self._folder, self._planned, self._stopped, self._listener = folder, planned, stopped, listener
        self._open()

    def _open(self) -> None:
        self.logs, self._tables = TrialLogs(self._folder), Tables(self._folder)
        self._next_write = 0.0

    def __getstate__(self) -> dict[str, Any]:
        return {key: self.__dict__[key] for key in ("_folder", "_planned", "_stopped", "_listener")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        log = self._known(trial)
        started = log.status.get("started_at") or time.time()
        starts = log.status.get("starts", 0) + 1
        news: dict[str, Any] = {"status": "running", "started_at": started, "starts": starts}
        if log.state == "error":
            news |= {"error_type": None, "error_message": None}
        self.logs.add(log.trial_id, "status", **news)
        self._write()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        log = self._known(trial)
        for record in json.loads(result["records"]):
            known = log.evaluations.get(record["evaluation"])
            if known == record:
                continue
            self.logs.add(log.trial_id, "evaluation", record=record)
            self._tell(kind="evaluation", trial=log, record=record)
        self._write()

    def on_checkpoint(self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: Any, **info: Any) -> None:
        log, now = self._known(trial), Path(checkpoint.path)
        told = log.status.get("checkpoint_path")
        self.logs.add(log.trial_id, "status", checkpoint_path=str(now))
        before = told and Path(told)
        if before and now.is_absolute() and before.parent != now.parent and before.parents[1] == now.parents[1]:
            # The trial went on in a later run: Ray gave it a new folder, and knows nothing of the old one. (Paths in a
            # bucket are not absolute; what lies there stays.)
            shutil.rmtree(before.parent, ignore_errors=True)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        log = self._known(trial)
        # Ray calls a trial that ASHA stopped, and one that a time budget cut off, alike.
        self._end(log, self._ended_as(log, self._stopped()) or "interrupted")

    def settle(self) -> None:
        """Write the end of trials that had come to it when a run ended before it could."""
        stopped = self._stopped()
        for log in self.logs:
            ended = self._ended_as(log, stopped)
            if ended and log.state not in ENDED - {"interrupted"}:
                self.logs.add(log.trial_id, "status", status=ended)

    def _ended_as(self, log: TrialLog, stopped: set[str]) -> str | None:
        records = log.records
        if records and records[-1]["diverged"]:
            return "diverged"
        if len(records) >= self._planned:
            return "complete"
        return "pruned" if log.trial_id in stopped else None

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        kind, message = _error_of(trial)
        self._end(self._known(trial), "error", error_type=kind[:200], error_message=message[:2000])

    def finish(self, **study: Any) -> None:
        """Mark what did not end as interrupted, and write the tables a last time with the study's own outcome."""
        for log in self.logs:
            if log.state not in ENDED:
                self.logs.add(log.trial_id, "status", status="interrupted")
        write_about(self._folder, read_about(self._folder) | study)
        self._write(force=True)

    def _known(self, trial: Trial) -> TrialLog:
        config = trial.config
        log = self.logs.get(config["trial_id"])
        if not log.about:
            self.logs.add(log.trial_id, "trial", number=config["number"], config=json.loads(config["trial"]))
        return log

    def _end(self, log: TrialLog, status: str, **more: Any) -> None:
        self.logs.add(log.trial_id, "status", status=status, **more)
        self._tell(kind="end", trial=log, status=status)
        self._write()

    def _tell(self, **event: Any) -> None:
        if self._listener is not None:
            self._listener(event | {"logs": self.logs})

    def _write(self, force: bool = False) -> None:
        now = time.monotonic()
        if now < self._next_write and not force:
            return
        self._tables.write(read_about(self._folder), self.logs)
        taken = time.monotonic() - now
        self._next_write = now + taken + max(self.SHORTEST_S, 1000 * taken)


def _error_of(trial: Trial) -> tuple[str, str]:
    """Type, as tracebacks name it, and message of what ended a trial; of Ray's own errors the text that it left."""
    try:
        error = cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
        cause = getattr(error, "cause", None) or error  # Ray wraps what a trial raised
        kind, _, message = "".join(traceback.format_exception_only(cause)).partition(": ")
        return kind.strip(), message.strip()
    except Exception:  # none is there, or it is of a class that only the trial's process knows
        pass
    try:
        return "Unknown", Path(trial.error_file).read_text(encoding="utf-8").strip()
    except (OSError, TypeError):
        return "Unknown", "no traceback was left"
