"""Optuna's journal, repaired where an earlier driver died while it wrote."""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from autogan_ray.base.errors import ResultsError


class _Journal(JournalStorage):
    """Optuna's storage, of a study to which nobody adds trials that wait.

    Optuna looks for one among all trials each time that it proposes, which takes ever longer.
    """

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if states == (TrialState.WAITING,):
            return []
        return super().get_all_trials(study_id, deepcopy, states)


def open_journal(file: Path) -> JournalStorage:
    """Opens the journal, or makes a new one; cuts off a torn last line and removes the lock of a dead driver.

    A study has a single driver, so a lock that is there belongs to a dead one. Optuna would wait half a minute for it,
    and for ever where the folder was moved, as the lock points to the old place. And Optuna would append its next
    line to a torn one.

    Raises ResultsError where a line before the last is damaged.
    """
    lock = Path(f"{file}.lock")
    if lock.is_symlink():
        lock.unlink()
    if file.is_file():
        _cut_torn_line(file)
    return _Journal(JournalFileBackend(str(file)))


def _cut_torn_line(file: Path) -> None:
    content = file.read_bytes()
    lines = content.split(b"\n")
    whole = 0
    for number, line in enumerate(lines[:-1], start=1):
        try:
            json.loads(line)
        except (ValueError, RecursionError) as error:
            if number < len(lines) - 1 or lines[-1]:
                raise ResultsError(
                    f"{file}: line {number} is damaged ({error}); go on with --resume, which builds it from the "
                    "trials' logs"
                ) from error
            break
        whole += len(line) + 1
    if whole < len(content):
        with file.open("r+b") as handle:
            handle.truncate(whole)
