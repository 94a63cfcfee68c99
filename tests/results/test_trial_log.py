"""What the tables are made from: trial logs, and whether a search decided anything."""

from __future__ import annotations

from pathlib import Path

import pytest

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


def test_a_search_near_uniform_is_called_undecided() -> None:
    uniform = {f"d{i}": dict.fromkeys("abcd", (0.0, 0.25)) for i in range(3)}
    clear = {f"d{i}": {c: (0.0, 0.97 if c == "a" else 0.01) for c in "abcd"} for i in range(3)}
    assert decidedness(uniform).undecided and decidedness(uniform).entropy == pytest.approx(1.0)
    assert not decidedness(clear).undecided and decidedness(clear).leading == 1.0
    assert not decidedness({}).undecided
    assert [clear_probability(n) for n in (2, 3, 4, 7)] == pytest.approx([0.75, 2 / 3, 0.5, 2 / 7])
