"""A trial's log for people: ``trials/t0003.log`` in the study's folder, a line of plain text for each event.

The file only grows, and nothing is read from it: what a study knows of its trials stands in ``trials/t0003.jsonl``
beside it, whose lines are told here in words. The driver alone writes it. What a trial says in its own process, which
may run on another node, comes with the trial's reports (:mod:`autogan_ray.tune.trial_voice`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from autogan_ray.results.symptoms import kind_of, symptoms
from autogan_ray.results.trial_log import FOLDER, TrialLog
from autogan_ray.spaces.space import SearchSpace
from autogan_ray.study.study_file import read_spaces
from autogan_ray.tune.trial_text import dated, evaluation_text, settings_text, status_texts


class TextLogs:
    """The text logs of a study's trials.

    Args:
        folder: of the study.
        planned: number of evaluations of a complete trial.
        in_words: makes the line of a record.
    """

    def __init__(
        self, folder: Path, planned: int, in_words: Callable[[Mapping[str, Any]], str] = evaluation_text
    ) -> None:
        self._folder, self._planned = folder, planned
        self._spaces: Mapping[str, SearchSpace] | None = None
        self._whole: set[Path] = set()
        self._told: set[tuple[str, str]] = set()
        self._in_words = in_words

    def write(self, trial_id: str, seconds: float, text: str) -> None:
        """Appends a text with its time. A disk that is full stops no study here: the trial's other log tells of it."""
        file = self._folder / FOLDER / f"{trial_id}.log"
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("ab+") as handle:
                line = dated(seconds, text) + "\n"
                if file not in self._whole and _is_torn(handle):
                    line = "\n" + line  # an earlier driver died while it wrote
                handle.write(line.encode("utf-8", "backslashreplace"))
            self._whole.add(file)

    def tell(self, log: TrialLog, line: Mapping[str, Any], now: float) -> None:
        """Tells a line of the trial's log in words.

        Args:
            log: the trial's log with the line in it.
            line: of the log, with its ``kind``.
            now: seconds since 1970.
        """
        if line["kind"] == "trial":
            self.write(log.trial_id, now, f"trial {log.trial_id}\n{settings_text(line['config'])}")
        elif line["kind"] == "evaluation":
            record = line["record"]
            again = f" (attempt {record['attempt'] + 1})" if record["attempt"] else ""
            self.write(log.trial_id, record.get("timestamp", now), self._in_words(record) + again)
            for symptom in self._new_symptoms(log):
                self.write(log.trial_id, now, f"symptom: {symptom}")
        else:
            for text in status_texts(log, line):
                self.write(log.trial_id, now, text)

    def _new_symptoms(self, log: TrialLog) -> Iterator[str]:
        """Yields the symptoms that this trial did not have before; those that differ in their numbers are the same."""
        with suppress(Exception):  # a symptom is a hint: no study ends for want of one
            self._spaces = read_spaces(self._folder) if self._spaces is None else self._spaces
            config = log.about["config"]
            for symptom in symptoms(log.records, self._planned, self._spaces[config["space"]], config):
                known = (log.trial_id, kind_of(symptom))
                if known not in self._told:
                    self._told.add(known)
                    yield symptom


def _is_torn(handle: Any) -> bool:
    """Returns whether a file, open at its end, has a last line without its end."""
    if handle.tell() == 0:
        return False
    handle.seek(-1, 2)
    return bool(handle.read(1) != b"\n")
