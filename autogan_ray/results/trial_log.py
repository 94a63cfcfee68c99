"""What the driver knows of a trial, in a file of lines that only grows: the ground all tables are rebuilt from.

A line has a ``kind``: ``trial`` (its number and configuration), ``evaluation`` (a search record), ``status`` (what
became of the trial). The last line of a kind, or of a kind and evaluation number, holds; so a line that is written
twice does no harm. Its ``order`` counts the lines of all trials as they came, so that what happened in a study can be
gone through again: the rungs of ASHA and Optuna's journal follow from it.

A damaged log (:mod:`autogan_ray.base.json_lines` says what that is) is read as far as it goes, and says what is wrong
with it; ``run --resume`` mends it (:mod:`autogan_ray.tune.mending`).
"""

from __future__ import annotations

import math
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any

from autogan_ray.base.json_lines import Lines, append_line, read_lines, replace_lines

FOLDER = "trials"
FINISHED = frozenset({"complete", "pruned", "diverged"})
"""Trials that ended in another way, an error included, go on when a study is resumed."""
ENDED = FINISHED | {"error", "interrupted"}
DETAILS = ("decisions", "genotype")
"""What takes nine tenths of a record, and is not kept in memory of a trial that has finished."""


def name_of(number: int) -> str:
    """Returns our own id of a trial: Ray's is random, and two equal studies should have equal tables."""
    return f"t{number:04d}"


def trial_meant(text: str) -> str:
    """Returns the id of the trial that a user names by its id or by its number: ``3`` is ``t0003``."""
    number = text.lower().removeprefix("t")
    return name_of(int(number)) if number.isascii() and number.isdecimal() else text


def diverged_by(record: Mapping[str, Any]) -> str:
    """Returns by what a record says that its search diverged; earlier versions did not say it."""
    return record.get("diverged_by") or "a loss or an image was not finite"


@dataclass
class TrialLog:
    """The state of a trial after all lines so far."""

    trial_id: str
    about: dict[str, Any] = field(default_factory=dict)
    evaluations: dict[int, dict[str, Any]] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)
    """What is wrong with the log's file, in words."""
    last_line: int = 0
    """Number of the last line of the file."""
    checked: bool = True
    """Whether checksums say of each line that it is as it was written; an earlier version wrote none."""
    order: float = 0
    """The highest order of a line."""
    details: bool = True
    """Whether the records have their details."""

    def apply(self, line: Mapping[str, Any]) -> None:
        self.order = max(self.order, line.get("order", 0))
        if line["kind"] == "trial":
            self.about = _interned(dict(line))
        elif line["kind"] == "evaluation":
            number = line["record"]["evaluation"]
            known = self.evaluations.get(number)
            # A resumed trial sends its earlier records again: the first copy stands, unless the work was repeated.
            if known is None or line["record"]["attempt"] >= known["attempt"]:
                self.evaluations[number] = line["record"]
        else:
            self.status = self.status | dict(line)

    def holds(self, record: Mapping[str, Any]) -> bool:
        """Whether the log has this very record, whole or without its details."""
        known = self.evaluations.get(record["evaluation"])
        return known is not None and known in (record, _without_details(record))

    def forget_details(self) -> None:
        """Leaves the details of all records to the log's file."""
        self.evaluations = {number: _interned(_without_details(record)) for number, record in self.evaluations.items()}
        self.details = False

    @property
    def number(self) -> int:
        """The number that :func:`name_of` made the id from."""
        return int(self.trial_id[1:])

    @property
    def records(self) -> list[dict[str, Any]]:
        """All records in order of evaluation."""
        return [self.evaluations[number] for number in sorted(self.evaluations)]

    @property
    def reached(self) -> int:
        """The last evaluation up to which none is missing."""
        return next(number for number in range(len(self.evaluations) + 1) if number + 1 not in self.evaluations)

    @property
    def best(self) -> dict[str, Any] | None:
        """The record of the best finite score, the earlier record at a tie; None while there is no score."""
        scored = [record for record in self.records if not record["diverged"]]
        return min(scored, key=lambda record: record["fid"], default=None)

    @property
    def fault(self) -> str | None:
        """Why the trial diverged or failed, its error in all lines that it has; None for a trial that did neither."""
        if self.state == "diverged":
            return diverged_by(self.records[-1] if self.records else {})
        if self.state == "error":
            return f"{self.status.get('error_type')}: {self.status.get('error_message')}"
        return None

    def scored_at(self, evaluation: int) -> dict[str, Any] | None:
        """The record of an evaluation; None where the trial did not come so far, or had diverged by then."""
        record = self.evaluations.get(evaluation)
        return None if record is None or record["diverged"] else record

    @property
    def state(self) -> str:
        return str(self.status.get("status", "pending"))

    @property
    def shortfall(self) -> str | None:
        """What the log of a finished trial has lost, in words; None where nothing is missing."""
        if self.state not in FINISHED:
            return None
        if not self.about:
            return "its settings are lost"
        count = max([self.status.get("evaluations", 0), *self.evaluations])
        lost = [number for number in range(1, count + 1) if number not in self.evaluations]
        return f"lost: evaluation {', '.join(map(str, lost))}" if lost else None

    @property
    def faults(self) -> list[str]:
        """Everything that is wrong with the log, in words; empty for a whole log."""
        return [*self.damage, self.shortfall] if self.shortfall else self.damage


def _interned(value: Any) -> Any:
    """Returns an equal value whose names and texts are held once for all trials; JSON makes new ones for each."""
    if isinstance(value, dict):
        return {sys.intern(name): _interned(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_interned(inner) for inner in value]
    return sys.intern(value) if isinstance(value, str) else value


def _without_details(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in DETAILS}


def lines_of(study_folder: Path, trial_id: str) -> Lines:
    """The lines of a trial's log; lines that are not of the form of a log are left out, and named as damage."""
    file = study_folder / FOLDER / f"{trial_id}.jsonl"
    if not file.is_file():
        return Lines()
    found = read_lines(file)
    wrong = {id(line): text for line in found.records if (text := _misshapen(line))}
    found.damage += [f"a line is no line of a trial's log: {text}" for text in wrong.values()]
    found.records = [line for line in found.records if id(line) not in wrong]
    return found


def _misshapen(line: Mapping[str, Any]) -> str | None:
    """What is wrong with the form of a line, in words; None where nothing is."""
    kind = str(line.get("kind"))
    if kind not in _FORMS:
        return f"kind {kind!r}"
    value = line.get("record") if kind == "evaluation" else line
    if not isinstance(value, dict):
        return "evaluation without record"
    if missing := [key for key in _NEEDED[kind] if key not in value]:
        return f"{kind} without {', '.join(missing)}"
    forms = [(value, key, types) for key, types in _FORMS[kind].items()]
    for where, key, types in [*forms, (line, "order", _NUMBER)]:
        known = where.get(key)
        if key in where and (not isinstance(known, types) or isinstance(known, bool) != (types is bool)):
            return f"{key} = {str(known)[:40]!r}"
        if isinstance(known, float) and not math.isfinite(known):
            return f"{key} = {str(known)[:40]!r}"
    return None


_NUMBER = (int, float)
_NEEDED: Mapping[str, Sequence[str]] = {
    "trial": ["config"],
    "status": [],
    "evaluation": ["evaluation", "attempt", "fid", "diverged"],
}
_FORMS: Mapping[str, Mapping[str, Any]] = {
    "trial": {"number": int, "config": dict},
    "status": {"status": str, "checkpoint_path": str, "starts": int, "evaluations": int},
    "evaluation": {
        **{"evaluation": int, "attempt": int, "fid": (*_NUMBER, NoneType), "diverged": bool, "timestamp": _NUMBER},
        **{"genotype": dict, "decisions": dict},
    },
}
"""Kind of a line -> key -> its types."""


def read_log(study_folder: Path, trial_id: str) -> TrialLog:
    """Returns the log of one trial as its file has it; an empty one where there is no file."""
    log, lines = TrialLog(trial_id), lines_of(study_folder, trial_id)
    for line in lines.records:
        log.apply(line)
    log.damage, log.last_line, log.checked = lines.damage, lines.last, lines.checked
    return log


class TrialLogs:
    """The logs of all trials of a study folder, in memory and on disk at once; files of other names are ignored.

    Of a trial that has finished, :data:`DETAILS` stay on disk alone (:meth:`whole`): a study may have thousands.

    Args:
        names: pattern of the trials' ids.
    """

    def __init__(self, study_folder: Path, names: str = r"t\d{4,}") -> None:
        self._study, self._folder = study_folder, study_folder / FOLDER
        self._logs: dict[str, TrialLog] = {}
        self._order: float = 0
        for file in sorted(self._folder.glob("*.jsonl")):
            if not re.fullmatch(names, file.stem, re.ASCII):
                continue
            self._logs[file.stem] = log = read_log(study_folder, file.stem)
            if log.state in FINISHED:
                log.forget_details()
            self._order = max(self._order, log.order)

    def __iter__(self) -> Iterator[TrialLog]:
        return iter([self._logs[name] for name in sorted(self._logs)])

    def __len__(self) -> int:
        return len(self._logs)

    def get(self, trial_id: str) -> TrialLog:
        return self._logs.setdefault(trial_id, TrialLog(trial_id))

    def add(self, trial_id: str, kind: str, **values: Any) -> TrialLog:
        """Writes a line to the trial's file, then applies it."""
        log = self.get(trial_id)
        line = {"kind": kind, **values, "order": math.floor(self._order) + 1}
        self._folder.mkdir(parents=True, exist_ok=True)
        append_line(self._folder / f"{trial_id}.jsonl", line, log.last_line + 1)
        self._order = line["order"]
        log.last_line += 1
        log.apply(line)
        if kind == "status" and log.details and log.state in FINISHED:
            log.forget_details()
        return log

    def whole(self, trial_id: str) -> TrialLog:
        """Returns the log with all details of its records."""
        log = self.get(trial_id)
        return log if log.details else read_log(self._study, trial_id)

    def replace(self, trial_id: str, lines: Iterable[Mapping[str, Any]]) -> TrialLog:
        """Writes the trial's file anew with these lines. The file as it was is kept beside it, under another name."""
        file = self._folder / f"{trial_id}.jsonl"
        if file.is_file():
            shutil.copyfile(file, self._folder / f"{trial_id}.damaged")
        replace_lines(file, lines)
        self._logs[trial_id] = read_log(self._study, trial_id)
        return self._logs[trial_id]

    def in_order(self) -> list[tuple[str, dict[str, Any]]]:
        """The lines of all logs, read again from their files, as (trial, line) in the order in which they came.

        Records come without their details.

        Lines of earlier versions say no order: they come first, by the time of the evaluations that they stand behind.
        """
        listed = []
        for log in self:
            seconds = 0.0
            for place, line in enumerate(lines_of(self._study, log.trial_id).records):
                seconds = line.get("record", line).get("timestamp") or line.get("started_at") or seconds
                ordered = "order" in line
                when = line["order"] if ordered else seconds
                if "record" in line:
                    line["record"] = _without_details(line["record"])
                listed.append(((ordered, when, log.trial_id, place), log.trial_id, line))
        return [(name, line) for _, name, line in sorted(listed, key=lambda entry: entry[0])]
