"""What a trial says in its own process: printed there, and collected for the driver, which logs it.

The outputs of a process are what Ray's dashboard shows as the logs of its actor. On CPUs a process serves several
trials, one after the other, so each trial marks where it begins and ends.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from autogan_ray.tune.trial_text import dated

Line = tuple[float, str]
"""Seconds since 1970, and a text."""

URGENT = "attention: "
"""What a line begins with that the driver's console shows too."""


class TrialVoice:
    """The lines of a trial: each is printed at once and kept until a report takes it along.

    Args:
        study: its name.
        trial_id: of the trial, such as ``t0003``.
    """

    MOST = 100
    """So many lines are kept for a report; of a library that warns at every step the rest is only counted."""
    LONGEST = 2000
    """So many characters of a line are kept."""

    def __init__(self, study: str = "study", trial_id: str = "t0000") -> None:
        self.study, self.trial_id = study, trial_id
        self._kept: list[Line] = []
        self._left_out = 0
        self._lock = threading.Lock()  # a library may warn in a thread of its own

    def say(self, text: str) -> None:
        """Prints a line, and keeps it for the next report."""
        now = time.time()
        print_line(dated(now, text))
        with self._lock:
            if len(self._kept) < self.MOST:
                self._kept.append((now, text[: self.LONGEST]))
            else:
                self._left_out += 1

    def take(self) -> list[Line]:
        """Returns the lines since the last call."""
        with self._lock:
            lines, self._kept = self._kept, []
            left_out, self._left_out = self._left_out, 0
        return [*lines, (time.time(), f"and {left_out} more lines")] if left_out else lines

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Prints marks around the block, says the warnings in it, and prints an error that ends it."""
        label = f"{self.study} {self.trial_id}"
        mark(f"{label} begins")
        end = "ends"
        try:
            with _warnings_to(self):
                yield
        except SystemExit:  # by which Ray stops a trial
            end = "ends, as the driver stopped it"
            raise
        except BaseException as error:
            print_line(traceback.format_exc().rstrip())
            end = f"ends by {type(error).__name__}"
            raise
        finally:
            mark(f"{label} {end}")


def print_line(text: str) -> None:
    """Prints a line at once; the process may have lost its output, which ends no trial.

    The line goes to the error output as well, as that is what the page of an actor in Ray's dashboard opens with.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.write(text + "\n")
            stream.flush()


def mark(text: str) -> None:
    """Prints a mark, by which the trials in a log are told apart."""
    print_line(dated(time.time(), f"==== {text}"))


@contextmanager
def _warnings_to(voice: TrialVoice) -> Iterator[None]:
    """Has the voice say, in the block, warnings of Python and log records of level WARNING and above.

    Each trial hears of a warning once a place, though Python would show it once a process.
    """

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            with suppress(Exception):
                voice.say(f"{record.levelname.lower()}: {record.name}: {record.getMessage()}")

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int,
        file: TextIO | None = None, line: str | None = None,
    ) -> None:  # fmt: skip
        voice.say(f"warning: {category.__name__}: {message} ({filename}:{lineno})")

    handler, root = Handler(logging.WARNING), logging.getLogger()
    root.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            yield
    finally:
        root.removeHandler(handler)
