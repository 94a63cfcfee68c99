"""``show STUDY TRIAL --follow`` reads along with a trial's log until the trial ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from autogan_ray.cli import studies
from autogan_ray.cli.main import main
from autogan_ray.results.lock import sole_driver
from autogan_ray.results.tables import write_tables
from autogan_ray.results.trial_log import TrialLogs
from autogan_ray.study.study_file import read_about, write_about
from tests.cli.studies import finished_study


def test_lines_are_shown_as_they_come_until_the_trial_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "smoke"
    finished_study(folder)
    logs = TrialLogs(folder)
    logs.add("t0001", "status", status="running")
    write_about(folder, read_about(folder) | {"status": "running"})
    write_tables(folder, read_about(folder), logs)
    log, waits = folder / "trials" / "t0001.log", iter(["evaluation 1\nhalf a", " line\n", "", "ended", ": complete\n"])

    def wait(_: float) -> None:
        with log.open("a") as file:
            file.write(text := next(waits))
        if "ended" in text:
            logs.add("t0001", "status", status="complete")

    monkeypatch.setattr(studies.time, "sleep", wait)
    with sole_driver(folder):
        found = CliRunner().invoke(main, ["show", str(folder), "1", "--follow"])
    assert found.exit_code == 0 and found.output == "evaluation 1\nhalf a line\nended: complete\n"


def test_a_trial_that_no_process_runs_is_shown_as_far_as_it_came(tmp_path: Path) -> None:
    finished_study(tmp_path / "smoke", status="running")
    (tmp_path / "smoke" / "trials" / "t0000.log").write_text("evaluation 1\n")
    found = CliRunner().invoke(main, ["show", str(tmp_path / "smoke"), "t0000", "--follow"])
    assert found.exit_code == 0 and found.output == "evaluation 1\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "name the trial"), (["t0000", "--json"], "leave out --json"), (["t0009"], "no trial 't0009'")],
)
def test_what_cannot_be_followed_is_refused(tmp_path: Path, arguments: list[str], message: str) -> None:
    finished_study(tmp_path / "smoke")
    found = CliRunner().invoke(main, ["show", str(tmp_path / "smoke"), *arguments, "--follow"])
    assert found.exit_code == 2 and message in found.output
