"""Records a running study: each report goes to the trial's logs and to the console, and at times into new tables."""

from __future__ import annotations

import json
import shutil
import time
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from autogan_ray.base.machine import oom_kills
from autogan_ray.results.grids import GridsKept, grid_file, write_grid
from autogan_ray.results.paths import is_uri, path_for_table
from autogan_ray.results.tables import Tables
from autogan_ray.results.trial_log import ENDED, FINISHED, TrialLog, TrialLogs
from autogan_ray.study.study_file import read_about, write_about
from autogan_ray.tune.failures import Alike, Failure, failure_of_process, reported_failure
from autogan_ray.tune.ray_internals import forget_reports
from autogan_ray.tune.text_logs import TextLogs
from autogan_ray.tune.trial_voice import URGENT

TEXTS = ("records", "grids", "lines")
"""Keys of a report under which much stands, as text."""

Event = dict[str, Any]
Listener = Callable[[Event], None]


class Recorder(Callback):
    """Writes trial logs and tables as Ray reports what happens.

    Ray pickles its callbacks. The state of this callback lies in the study's folder, from which a copy reads it again.

    Args:
        folder: of the study, absolute.
        storage: path or URI under which Ray keeps its checkpoints.
        planned: number of evaluations of a complete trial.
        stopped: gives the ids of the trials that ASHA has stopped, with the evaluation at which it did.
        listener: called with an event for each report and for each end of a trial; must be picklable.
        grids: of how many trials pictures are kept.
    """

    SHORTEST_S = 10.0
    """Tables are rewritten at most this often, and in at most a thousandth of the time."""
    LESS_MEMORY = "run fewer side by side (tune.max_concurrent), or lower search.batch_size or model.channels_g"
    """What helps where a trial's process was killed as memory ran out."""

    def __init__(
        self,
        folder: Path,
        storage: str,
        planned: int,
        stopped: Callable[[], Mapping[str, int]],
        listener: Listener | None,
        grids: int = 0,
    ) -> None:
        self._folder, self._storage, self._grids = folder, storage, grids
        self._planned, self._stopped, self._listener = planned, stopped, listener
        self.logs, self._tables = TrialLogs(folder), Tables(folder)
        self._text = TextLogs(folder, planned)
        self._kept = GridsKept(folder, grids)
        for log in self.logs:
            if log.state in ENDED:
                self._kept.ended(log)
        self._next_write = 0.0
        self._ended_at: dict[str, int] = {}
        self._alike, self._oom_kills = Alike(), oom_kills()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._folder, self._storage, self._planned, self._stopped, self._listener, self._grids)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        log = self._log_of(trial)
        started = log.status.get("started_at") or time.time()
        starts = log.status.get("starts", 0) + 1
        status: dict[str, Any] = {"status": "running", "started_at": started, "starts": starts}
        if log.state == "error":
            status |= {"error_type": None, "error_message": None}
        self._add(log.trial_id, "status", **status)
        self._notify(kind="start", trial=log)
        self._write()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        log = self._log_of(trial)
        self._hear(log, json.loads(result.get("lines", "[]")))
        if (failure := reported_failure(result)) is not None:
            self._fail(log, failure)
            return
        records = json.loads(result["records"])
        # A trial that goes on from a checkpoint sends what that holds at once; of others it need not be asked.
        stopped_at = self._stopped().get(log.trial_id) if len(records) > 1 else None
        if stopped_at is not None and records[-1]["evaluation"] > stopped_at:
            # Its process died in the moment of ASHA's decision, and was started again. Ray's other parts hear of the
            # report by this very dictionary.
            records = [record for record in records if record["evaluation"] <= stopped_at]
            result |= {key: records[-1][key] for key in ("evaluation", "fid")} | {"records": json.dumps(records)}
        if result.get("done"):  # ASHA ends the trial here, or it has come to its end
            self._ended_at[log.trial_id] = records[-1]["evaluation"]
        grids = {int(name): b64decode(text) for name, text in json.loads(result.get("grids", "{}")).items()}
        for record in records:
            if log.holds(record):
                continue
            self._add(log.trial_id, "evaluation", record=record)
            self._notify(kind="evaluation", trial=log, record=record, png=grids.get(record["evaluation"]))
        for evaluation, png in grids.items():
            write_grid(self._picture(log, evaluation), png)
        self._write()

    def _picture(self, log: TrialLog, evaluation: int) -> Path:
        """Where the picture of an evaluation goes; evaluation 0 is that of the untrained network."""
        return grid_file(self._folder, log.trial_id, evaluation)

    def on_checkpoint(self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: Any, **info: Any) -> None:
        log, new = self._log_of(trial), Path(checkpoint.path)
        logged = log.status.get("checkpoint_path")
        # Ray leaves the scheme out of a path in a bucket.
        told = str(new) if new.is_absolute() else f"{self._storage.partition('://')[0]}://{new}"
        self._add(log.trial_id, "status", checkpoint_path=path_for_table(self._folder, told))
        old = self._folder / logged if logged and not is_uri(logged) else None
        if old and new.is_absolute() and old.parent != new.parent and old.parents[1] == new.parents[1]:
            # The trial went on in a later run: Ray gave it a new folder, and does not know the old folder. (In a bucket
            # it stays.)
            shutil.rmtree(old.parent, ignore_errors=True)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        forget_reports(trial, TEXTS)
        log = self._log_of(trial)
        if log.state == "error":  # it was reported, and has ended with it
            return
        # Ray does not tell a trial that ASHA stopped from a trial that the end of the study cut off.
        self._end(log, self._ended_as(log, self._stopped_of(log)) or "interrupted")

    def _stopped_of(self, log: TrialLog) -> Mapping[str, int]:
        """Where a trial that has ended was stopped. The file of the rungs is read only where its last report was of an
        earlier run."""
        here = self._ended_at.pop(log.trial_id, None)
        return self._stopped() if here is None else {log.trial_id: here}

    def record_ends(self) -> None:
        """Records the ends of trials that an earlier run reached and had no time to record."""
        stopped = self._stopped()
        for log in self.logs:
            ended = self._ended_as(log, stopped)
            if ended and log.state not in FINISHED:
                mended: dict[str, Any] = {"error_type": None, "error_message": None} if log.state == "error" else {}
                self._add(log.trial_id, "status", status=ended, evaluations=len(log.evaluations), **mended)

    def _ended_as(self, log: TrialLog, stopped: Mapping[str, int]) -> str | None:
        """The status of a trial that has come to its end; None for a trial that has not, or has lost an evaluation."""
        records = log.records
        if not records or log.reached < len(records):
            return None
        if records[-1]["diverged"]:
            return "diverged"
        if len(records) >= self._planned:
            return "complete"
        return "pruned" if len(records) >= stopped.get(log.trial_id, self._planned) else None

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        log, failure = self._log_of(trial), self._failure_of_process(trial)
        self._text.write(
            log.trial_id, time.time(), f"failed, and is started again from its last checkpoint\n{failure.traceback}"
        )

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        forget_reports(trial, TEXTS)
        log, failure = self._log_of(trial), self._failure_of_process(trial)
        ended = self._ended_as(log, self._stopped_of(log))
        if ended:  # its process died after its end, and before Ray had acted on that
            self._end(log, ended)
            return
        self._fail(log, failure)

    @property
    def given_up(self) -> str | None:
        """Why the trials that are left are not worth trying in this run: the last ones failed alike."""
        return self._alike.reason

    def _failure_of_process(self, trial: Trial) -> Failure:
        before, self._oom_kills = self._oom_kills, oom_kills()
        return failure_of_process(trial.error_file, self._oom_kills > before, self.LESS_MEMORY)

    def _fail(self, log: TrialLog, failure: Failure) -> None:
        self._text.write(log.trial_id, time.time(), f"failed\n{failure.traceback}")
        self._alike.failed(log.trial_id, failure)
        if failure.no_room:
            self._end(log, "interrupted")
            return
        self._end(log, "error", error_type=failure.type[:200], error_message=failure.message[:2000])

    def finish(self, **study: Any) -> None:
        """Marks the trials that did not end as interrupted, and writes the tables a last time.

        Args:
            study: what ``study.json`` and the table ``studies`` say of the study's end.
        """
        for log in self.logs:
            if log.state not in ENDED:
                self._add(log.trial_id, "status", status="interrupted")
        evaluations = sum(len(log.evaluations) for log in self.logs)
        write_about(self._folder, read_about(self._folder) | study | {"evaluations": evaluations})
        self._write(force=True)

    def _log_of(self, trial: Trial) -> TrialLog:
        """The log of Ray's trial, with the trial's configuration in it."""
        config = trial.config
        log = self.logs.get(config["trial_id"])
        if not log.about:
            self._add(log.trial_id, "trial", number=config["number"], config=json.loads(config["trial"]))
        return log

    def _add(self, trial_id: str, kind: str, **values: Any) -> None:
        """Adds a line to a trial's log, and to its text log in words."""
        log = self.logs.add(trial_id, kind, **values)
        self._text.tell(log, {"kind": kind, **values}, time.time())

    def _hear(self, log: TrialLog, lines: Iterable[Sequence[Any]]) -> None:
        """Writes what a trial's process said to the trial's text log, and passes on what the user must know now."""
        for at, text in lines:
            self._text.write(log.trial_id, at, text)
            if text.startswith(URGENT):
                self.note(f"{log.trial_id}: {text.removeprefix(URGENT)}")

    def note(self, text: str) -> None:
        """Passes on what the user must know now."""
        self._notify(kind="note", text=text)

    def _end(self, log: TrialLog, status: str, **more: Any) -> None:
        self._add(log.trial_id, "status", status=status, evaluations=len(log.evaluations), **more)
        if status in FINISHED:
            self._alike.ended_well()
        self._kept.ended(log)
        self._notify(kind="end", trial=log, status=status)
        self._write()

    def _notify(self, **event: Any) -> None:
        if self._listener is not None:
            self._listener(event | {"logs": self.logs})

    def _write(self, force: bool = False) -> None:
        now = time.monotonic()
        if now < self._next_write and not force:
            return
        self._write_tables()
        spent_s = time.monotonic() - now
        self._next_write = now + spent_s + max(self.SHORTEST_S, 1000 * spent_s)

    def _write_tables(self) -> None:
        self._tables.write(read_about(self._folder), self.logs)
