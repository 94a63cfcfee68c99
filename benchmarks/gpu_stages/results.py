"""The results file: one JSON line a measured figure, a finished part or a finished stage, on disk before the next."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autogan_ray.base.errors import ResultsError

FILE = "results.jsonl"
BEGIN, FIGURE, PART, SKIPPED, STAGE = "begin", "figure", "part", "skipped", "stage"
DONE, SHORT = "done", "short"
"""How a stage ended: with everything it can measure, or with parts that were left out and say why."""
Line = dict[str, Any]


def read_lines(file: Path) -> list[Line]:
    """All whole lines. A last line that a kill tore apart is left out.

    Raises ResultsError where a line before it is damaged, as a kill does not do that.
    """
    lines: list[Line] = []
    *whole, _ = file.read_bytes().split(b"\n")
    for number, text in enumerate(whole, 1):
        try:
            lines.append(json.loads(text))
        except ValueError as error:
            raise ResultsError(f"{file}, line {number} is no JSON: {error}; remove the line") from error
    return lines


class Results:
    """Appends to ``results.jsonl`` in a folder and knows what is in it.

    Args:
        folder: of the file; made where it is missing.
        told: what every line carries: the date, the card, the commit, the version of torch.
    """

    def __init__(self, folder: Path, told: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file, self.told = folder / FILE, dict(told)
        self.lines = self._whole() if self.file.exists() else []
        self.attempt = 1 + sum(line["kind"] == BEGIN for line in self.lines)

    def _whole(self) -> list[Line]:
        content = self.file.read_bytes()
        if not content.endswith(b"\n"):  # what is appended must not follow a torn line
            os.truncate(self.file, content.rfind(b"\n") + 1)
        return read_lines(self.file)

    def add(self, kind: str, stage: str | None = None, **values: Any) -> None:
        """Write one line and wait until the disk has it. Numbers that are not finite become null."""
        line = {"kind": kind, "stage": stage, "attempt": self.attempt, "time_s": round(time.time(), 3)}
        line |= self.told | plain(values)
        self.lines.append(line)
        descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, (json.dumps(line, allow_nan=False) + "\n").encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def finished(self, stage: str, what: str | None = None) -> bool:
        """Whether a stage, or one part of it, was measured to its end, now or before an interruption."""
        kind, key = (STAGE, "status") if what is None else (PART, "what")
        wanted = DONE if what is None else what
        return any((line["kind"], line["stage"], line.get(key)) == (kind, stage, wanted) for line in self.lines)

    def figures(self, stage: str, part: str | None = None) -> list[Line]:
        """See :func:`figures`."""
        return figures(self.lines, stage, part)


def figures(lines: list[Line], stage: str, part: str | None = None) -> list[Line]:
    """Figures of a stage or of one part of it; where a part was begun again, those of its last attempt."""
    found = [line for line in lines if line["kind"] == FIGURE and line["stage"] == stage]
    last = {line["part"]: line["attempt"] for line in found}
    return [line for line in found if line["attempt"] == last[line["part"]] and part in (None, line["part"])]


def left_out(lines: list[Line], stage: str) -> list[Line]:
    """What a stage's last attempt left out, with the reasons, without what has been measured meanwhile."""
    found = [line for line in lines if line["kind"] == SKIPPED and line["stage"] == stage]
    done = {line["what"] for line in lines if line["kind"] == PART and line["stage"] == stage}
    last = max((line["attempt"] for line in found), default=0)
    return [line for line in found if line["attempt"] == last and line["what"] not in done]


def plain(value: Any) -> Any:
    """JSON-able: numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
