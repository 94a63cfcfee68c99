"""What the driver knows of a trial, in a file of lines that only grows: the ground all tables are rebuilt from.

A line has a ``kind``: ``trial`` (its number and configuration), ``evaluation`` (a search record), ``status`` (what
became of the trial). The last line of a kind, or of a kind and evaluation number, holds; so a line that is written
twice does no harm.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autogan_ray.base.json_lines import append_line, read_lines

FOLDER = "trials"
FINISHED = frozenset({"complete", "pruned", "diverged"})
"""Trials that ended in another way, an error included, go on when a study is resumed."""
ENDED = FINISHED | {"error", "interrupted"}


def name_of(number: int) -> str:
    """Returns our own id of a trial: Ray's is random, and two equal studies should have equal tables."""
    return f"t{number:04d}"


def trial_meant(text: str) -> str:
    """Returns the id of the trial that a user names by its id or by its number: ``3`` is ``t0003``."""
    number = text.lower().removeprefix("t")
    return name_of(int(number)) if number.isascii() and number.isdecimal() else text


@dataclass
class TrialLog:
    """The state of a trial after all lines so far."""

    trial_id: str
    about: dict[str, Any] = field(default_factory=dict)
    evaluations: dict[int, dict[str, Any]] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)

    def apply(self, line: Mapping[str, Any]) -> None:
        if line["kind"] == "trial":
            self.about = dict(line)
        elif line["kind"] == "evaluation":
            number = line["record"]["evaluation"]
            known = self.evaluations.get(number)
            # A resumed trial sends its earlier records again: the first copy stands, unless the work was repeated.
            if known is None or line["record"]["attempt"] >= known["attempt"]:
                self.evaluations[number] = line["record"]
        else:
            self.status = self.status | dict(line)

    @property
    def number(self) -> int:
        """The number that :func:`name_of` made the id from."""
        return int(self.trial_id[1:])

    @property
    def records(self) -> list[dict[str, Any]]:
        """All records in order of evaluation."""
        return [self.evaluations[number] for number in sorted(self.evaluations)]

    @property
    def best(self) -> dict[str, Any] | None:
        """The record of the best finite score, the earlier record at a tie; None while there is no score."""
        scored = [record for record in self.records if not record["diverged"]]
        return min(scored, key=lambda record: record["fid"], default=None)

    def scored_at(self, evaluation: int) -> dict[str, Any] | None:
        """The record of an evaluation; None where the trial did not come so far, or had diverged by then."""
        record = self.evaluations.get(evaluation)
        return None if record is None or record["diverged"] else record

    @property
    def state(self) -> str:
        return str(self.status.get("status", "pending"))


def read_log(study_folder: Path, trial_id: str) -> TrialLog:
    """Returns the log of one trial as its file has it; an empty one where there is no file."""
    log, file = TrialLog(trial_id), study_folder / FOLDER / f"{trial_id}.jsonl"
    for line in read_lines(file) if file.is_file() else ():
        log.apply(line)
    return log


class TrialLogs:
    """The logs of all trials of a study folder, in memory and on disk at once; files of other names are ignored.

    Args:
        names: pattern of the trials' ids.
    """

    def __init__(self, study_folder: Path, names: str = r"t\d{4,}") -> None:
        self._folder = study_folder / FOLDER
        self._logs: dict[str, TrialLog] = {}
        for file in sorted(self._folder.glob("*.jsonl")):
            if not re.fullmatch(names, file.stem, re.ASCII):
                continue
            self._logs[file.stem] = read_log(study_folder, file.stem)

    def __iter__(self) -> Iterator[TrialLog]:
        return iter([self._logs[name] for name in sorted(self._logs)])

    def __len__(self) -> int:
        return len(self._logs)

    def get(self, trial_id: str) -> TrialLog:
        return self._logs.setdefault(trial_id, TrialLog(trial_id))

    def add(self, trial_id: str, kind: str, **values: Any) -> TrialLog:
        """Writes a line to the trial's file, then applies it."""
        line = {"kind": kind, **values}
        self._folder.mkdir(parents=True, exist_ok=True)
        append_line(self._folder / f"{trial_id}.jsonl", line)
        log = self.get(trial_id)
        log.apply(line)
        return log
