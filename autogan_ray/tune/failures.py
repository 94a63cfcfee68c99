"""What a trial fails of: an error of its own, which its process reports, or the end of its process, which Ray tells.

An error that the trial's function raises would be raised again, so the trial ends with it; Ray starts a trial again
(``tune.max_failures``) where its process died, its node was lost, or the memory ran out. What a trial raised reaches
the driver as text in a report. Nothing that lies in a study or a storage is unpickled.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ray import tune
from ray.exceptions import RayError
from ray.tune.stopper import Stopper

from autogan_ray.base.room import tells_of_no_room
from autogan_ray.tune.trial_text import failure_text
from autogan_ray.tune.trial_voice import TrialVoice

FAILURE = "failure"
"""The key of a report that says what the trial's function raised."""

ALIKE = 3
"""So many trials that fail alike, one after the other, end a study: the next would fail as well."""


class ProcessDied(RayError):
    """A process of a trial that is not the trial's own has died; the message is what Ray said of its actor."""


_DIED = "ray.exceptions.ActorDiedError"
_NODE = "ray.exceptions.NodeDiedError"
_MEMORY = "ray.exceptions.OutOfMemoryError"


@dataclass(frozen=True)
class Failure:
    """Why a trial ended.

    Args:
        type: of the error, as tracebacks name it.
        message: of the error.
        place: file and line that raised it; empty where the process died.
        traceback: for the trial's log.
    """

    type: str
    message: str
    place: str = ""
    traceback: str = ""

    @property
    def no_room(self) -> bool:
        """Whether nothing could be written: the trial is sound, and goes on when there is room."""
        return tells_of_no_room(self.message)


def failure_of(error: BaseException, memory_settings: Sequence[str] = ()) -> Failure:
    """Returns an error as text.

    Args:
        memory_settings: names of the settings by which less memory is needed.
    """
    kind, _, message = "".join(traceback.format_exception_only(error)).partition(": ")
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    if kind.strip() in ("torch.OutOfMemoryError", "MemoryError"):
        message = f"memory is full; lower {' or '.join(memory_settings)}: {message}"
    return Failure(kind.strip(), message.strip(), place, "".join(traceback.format_exception(error)).strip())


@contextmanager
def failures_reported(voice: TrialVoice, memory_settings: Sequence[str]) -> Iterator[None]:
    """Reports to the driver what the block raises, with the trial's last lines; the trial's function then returns.

    An error of Ray's own passes: it tells of a node or an object that was lost, and Ray may start the trial again.
    """
    try:
        yield
    except RayError:
        raise
    except Exception as error:
        tune.report(failure_report(error, voice, memory_settings))


def failure_report(error: BaseException, voice: TrialVoice, memory_settings: Sequence[str]) -> dict[str, str]:
    """Returns the report that tells the driver of an error, with the trial's last lines."""
    return {FAILURE: json.dumps(asdict(failure_of(error, memory_settings))), "lines": json.dumps(voice.take())}


def reported_failure(result: dict[str, Any]) -> Failure | None:
    """Returns the failure that a report tells of; None for a report of an evaluation."""
    return Failure(**json.loads(result[FAILURE])) if FAILURE in result else None


def failure_of_process(error_file: str | None, killed_for_memory: bool, less_memory: str) -> Failure:
    """Returns why a trial's process ended, from the text that Ray left.

    Args:
        killed_for_memory: the system has ended a process of this machine, as memory ran out.
        less_memory: what helps against that, in words.
    """
    text = failure_text(error_file).rpartition(f"{ProcessDied.__name__}: ")[2]
    if raised := re.match(r"(?:.*\n)?  File [^\n]*\n(?:[ \t][^\n]*\n)*(?P<last>\S.*)", text, re.DOTALL):
        kind, _, message = raised["last"].partition(": ")
        return Failure(kind.strip(), message.strip(), traceback=text)
    died = text.startswith("The actor ")
    if (died and killed_for_memory) or "running low on memory" in text:  # the kernel killed it, or Ray did
        message = f"the trial's process was killed as memory ran out; {less_memory}. {text}"
        return Failure(_MEMORY, message, traceback=text)
    lost = "node has died" in text or "node died" in text
    return Failure((_NODE if lost else _DIED) if died else "Unknown", text, traceback=text)


class Alike:
    """Counts trials that fail one after the other with the same error at the same place."""

    def __init__(self) -> None:
        self._last, self._trials = Failure("", ""), list[str]()
        self._no_room = False

    def failed(self, trial_id: str, failure: Failure) -> None:
        if (failure.type, failure.place) != (self._last.type, self._last.place):
            self._trials = []
        self._last, self._trials = failure, [*self._trials, trial_id]
        self._no_room = self._no_room or failure.no_room

    def ended_well(self) -> None:
        self._trials = []

    @property
    def reason(self) -> str | None:
        """Why no further trial should be tried; None while there is no reason."""
        if self._no_room:
            return f"{self._trials[-1]} could not keep its checkpoint: {self._last.message}; make room there"
        if len(self._trials) < ALIKE:
            return None
        at = f" at {self._last.place}" if self._last.place else ""
        first = self._last.message.partition("\n")[0]
        return f"{', '.join(self._trials)} failed alike{at}: {self._last.type}: {first}"


class GiveUp(Stopper):
    """Ends Ray's run as soon as there is a reason to."""

    def __init__(self, reason: Callable[[], str | None]) -> None:
        self._reason = reason

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._reason() is not None
