"""What the tables are made from: trial logs, and whether a search decided anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autogan_ray.base.json_lines import append_line
from autogan_ray.results.decidedness import clear_probability, decidedness
from autogan_ray.results.trial_log import TrialLogs


def test_a_trials_log_keeps_one_record_an_evaluation_the_latest_attempt(tmp_path: Path) -> None:
    logs = TrialLogs(tmp_path)
    for attempt, fid in ((0, 10.0), (1, 9.0), (0, 99.0)):
        logs.add("t0000", "evaluation", record={"evaluation": 1, "attempt": attempt, "fid": fid, "diverged": False})
    logs.add("t0000", "status", status="running", started_at=1.0)
    logs.add("t0000", "status", status="pruned")
    for found in (logs, TrialLogs(tmp_path)):  # in memory and from disk
        (log,) = list(found)
        assert log.best is not None and log.best["fid"] == 9.0
        assert log.state == "pruned" and log.status["started_at"] == 1.0


def test_a_file_that_is_no_trials_is_no_hindrance(tmp_path: Path) -> None:
    TrialLogs(tmp_path).add("t0007", "status", status="pruned")
    for name in ("t0007 (copy)", "notes", ".#t0007", "t7"):
        (tmp_path / "trials" / f"{name}.jsonl").write_text("")
    assert [log.number for log in TrialLogs(tmp_path)] == [7]


def filled(folder: Path, evaluations: int = 3) -> TrialLogs:
    logs = TrialLogs(folder)
    logs.add("t0000", "trial", number=0, config={})
    for number in range(1, evaluations + 1):
        logs.add("t0000", "evaluation", record={"evaluation": number, "attempt": 0, "fid": 9.0, "diverged": False})
        logs.add("t0001", "status", status="running")
    logs.add("t0000", "status", status="complete", evaluations=evaluations)
    return logs


def test_lines_of_all_logs_come_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    told = filled(tmp_path).in_order()
    assert [name for name, _ in told] == ["t0000", *["t0000", "t0001"] * 3, "t0000"]
    assert [line["order"] for _, line in TrialLogs(tmp_path).in_order()] == list(range(1, 9))
    TrialLogs(tmp_path).add("t0001", "status", status="complete")  # a later run goes on counting
    assert TrialLogs(tmp_path).in_order()[-1][1]["order"] == 9


def test_a_log_that_lost_a_line_says_what_is_lost_and_a_replaced_one_is_whole(tmp_path: Path) -> None:
    filled(tmp_path)
    file = tmp_path / "trials" / "t0000.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    for lost, what in ((2, "lost: evaluation 2"), (3, "lost: evaluation 3"), (0, "its settings are lost")):
        file.write_bytes(b"".join(lines[:lost] + lines[lost + 1 :]))
        log = TrialLogs(tmp_path).get("t0000")
        assert log.faults == [f"1 line is lost before line {lost + 1}", what] and log.shortfall == what
    damaged = file.read_bytes()
    logs = TrialLogs(tmp_path)
    kept = [{"kind": "trial", "number": 0, "config": {}}, *(line for name, line in logs.in_order() if name == "t0000")]
    assert logs.replace("t0000", kept).faults == []
    assert TrialLogs(tmp_path).get("t0000").reached == 3
    assert file.with_suffix(".damaged").read_bytes() == damaged


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ({"kind": "news"}, "kind 'news'"),
        ({}, "kind 'None'"),
        ({"kind": "trial", "number": 0}, "trial without config"),
        ({"kind": "trial", "number": "0", "config": {}}, "number = '0'"),
        ({"kind": "evaluation"}, "evaluation without record"),
        ({"kind": "evaluation", "record": [1]}, "evaluation without record"),
        ({"kind": "evaluation", "record": {"evaluation": 2}}, "evaluation without attempt, fid, diverged"),
        (
            {"kind": "evaluation", "record": {"evaluation": True, "attempt": 0, "fid": 1.0, "diverged": False}},
            "evaluation = 'True'",
        ),
        (
            {"kind": "evaluation", "record": {"evaluation": 2, "attempt": 0, "fid": "1", "diverged": False}},
            "fid = '1'",
        ),
        ({"kind": "status", "status": 3}, "status = '3'"),
    ],
)
def test_lines_of_another_form_are_left_out_and_named(line: dict[str, Any], what: str, tmp_path: Path) -> None:
    filled(tmp_path, 1)
    append_line(tmp_path / "trials" / "t0000.jsonl", line, 4)
    log = TrialLogs(tmp_path).get("t0000")
    assert log.faults == [f"a line is no line of a trial's log: {what}"] and len(log.records) == 1


def test_a_search_near_uniform_is_called_undecided() -> None:
    uniform = {f"d{i}": dict.fromkeys("abcd", (0.0, 0.25)) for i in range(3)}
    clear = {f"d{i}": {c: (0.0, 0.97 if c == "a" else 0.01) for c in "abcd"} for i in range(3)}
    assert decidedness(uniform).undecided and decidedness(uniform).entropy == pytest.approx(1.0)
    assert not decidedness(clear).undecided and decidedness(clear).leading == 1.0
    assert not decidedness({}).undecided
    assert [clear_probability(n) for n in (2, 3, 4, 7)] == pytest.approx([0.75, 2 / 3, 0.5, 2 / 7])
