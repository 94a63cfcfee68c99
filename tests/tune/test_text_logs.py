"""The log of a trial for people: it grows by a line an event, and is never rewritten."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from autogan_ray.config.study import TrialConfig
from autogan_ray.results.trial_log import TrialLogs
from autogan_ray.tune import text_logs
from autogan_ray.tune.text_logs import TextLogs

from .test_trial_text import RECORD

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")


def lines(folder: Path) -> list[str]:
    """The events of the trial, each with the lines that are indented below it."""
    return re.split(r"\n(?! )", (folder / "trials" / "t0000.log").read_text().rstrip("\n"))


def tell(logs: TrialLogs, text: TextLogs, kind: str, **values: Any) -> None:
    text.tell(logs.add("t0000", kind, **values), {"kind": kind, **values}, 0.0)


def test_every_line_of_a_trials_log_is_told_with_its_time(tmp_path: Path) -> None:
    logs, text = TrialLogs(tmp_path), TextLogs(tmp_path, 9)
    tell(logs, text, "trial", number=0, config=json.loads(TrialConfig().model_dump_json()))
    tell(logs, text, "status", status="running", starts=1, started_at=0.0)
    text.write("t0000", 1.0, "warning: UserWarning: of a library")
    tell(logs, text, "evaluation", record=RECORD | {"timestamp": 2.0})
    tell(logs, text, "evaluation", record=RECORD | {"timestamp": 3.0, "attempt": 1})
    tell(logs, text, "status", status="complete")
    told = lines(tmp_path)
    assert all(TIME.match(line) for line in told)
    assert [line[25:].partition(":")[0] for line in told] == [
        "trial t0000\n    space adversarialnas, seed 0\n    [model] channels_g 256, channels_d 128, latent_dim 120, "
        "head_d sum\n    [search] " + told[0].partition("[search] ")[2].partition(":")[0],
        "begins", "warning", "evaluation 3", "evaluation 3",
        "complete after 1 evaluation, best score 450.2 at evaluation 3",
    ]  # fmt: skip
    assert told[4].startswith("1970-01-01T00:00:03.000Z") and told[4].endswith("(attempt 2)")


def test_a_later_driver_appends_also_after_a_torn_line(tmp_path: Path) -> None:
    TextLogs(tmp_path, 9).write("t0000", 0.0, "first")
    file = tmp_path / "trials" / "t0000.log"
    with file.open("a") as handle:
        handle.write("1970-01-01T00:00:00.000Z to")
    later = TextLogs(tmp_path, 9)
    later.write("t0000", 1.0, "second")
    later.write("t0000", 2.0, "third")
    assert [line[25:] for line in lines(tmp_path)] == ["first", "to", "second", "third"]


def test_a_symptom_is_told_once_and_again_where_another_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[list[str]] = [["score 1.5 is odd"], ["score 2e-7 is odd"], ["score 3 is odd", "D is saturated"]]
    monkeypatch.setattr(text_logs, "symptoms", lambda *_: known.pop(0))
    monkeypatch.setattr(text_logs, "read_spaces", lambda _: {"adversarialnas": None})
    logs, text = TrialLogs(tmp_path), TextLogs(tmp_path, 9)
    tell(logs, text, "trial", number=0, config=json.loads(TrialConfig().model_dump_json()))
    for evaluation in (1, 2, 3):
        tell(logs, text, "evaluation", record=RECORD | {"evaluation": evaluation})
    found = [line[25:] for line in lines(tmp_path) if "symptom" in line]
    assert found == ["symptom: score 1.5 is odd", "symptom: D is saturated"]


def test_a_full_disk_ends_no_study_by_this_log(tmp_path: Path) -> None:
    (tmp_path / "trials").touch()  # no folder can be made there
    TextLogs(tmp_path, 9).write("t0000", 0.0, "lost")
