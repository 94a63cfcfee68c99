"""Logs of earlier versions, whose lines have no checksums: what is in them is looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from autogan_ray.cli.main import main
from autogan_ray.results.trial_log import TrialLogs
from autogan_ray.tune.mending import mend_logs
from tests.cli.studies import finished_study


def as_an_earlier_version(file: Path) -> list[dict[str, Any]]:
    """Takes numbers and checksums out of a log's lines, and returns what is left."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines = [{key: value for key, value in line.items() if key not in ("line", "crc")} for line in lines]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return lines


@pytest.mark.parametrize(
    ("of", "key", "value"),
    [
        ("evaluation", "decisions", {"g.nowhere": {"a": [0.0, 1.0]}}),
        ("evaluation", "genotype", {}),
        ("evaluation", "eval_s", "long"),
        ("evaluation", "timestamp", None),
        ("trial", "config", {"space": ["x"]}),
    ],
)
def test_a_log_without_checksums_that_makes_no_rows_is_put_aside_and_its_trial_is_run_again(
    of: str, key: str, value: Any, tmp_path: Path
) -> None:
    study = tmp_path / "smoke"
    finished_study(study)
    file = study / "trials" / "t0000.jsonl"
    lines = as_an_earlier_version(file)
    assert mend_logs(TrialLogs(study), study, str(study / "tune"), 1) == []  # sound as it is
    for line in lines:
        if line["kind"] == of:
            (line["record"] if of == "evaluation" else line)[key] = value
    altered = "".join(json.dumps(line) + "\n" for line in lines)
    file.write_text(altered)
    logs = TrialLogs(study)
    (said,) = mend_logs(logs, study, str(study / "tune"), 1)
    assert said.startswith("t0000: ") and said.endswith("(the log as it was: trials/t0000.damaged)"), said
    assert logs.get("t0000").state in ("pending", "interrupted") and logs.get("t0001").state == "complete"
    assert file.with_suffix(".damaged").read_text() == altered


def test_a_trial_whose_settings_are_lost_is_not_shown_as_if_they_were_there(tmp_path: Path) -> None:
    study = tmp_path / "smoke"
    finished_study(study)
    file = study / "trials" / "t0001.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[1:]))
    shown = CliRunner().invoke(main, ["show", str(study), "t0001"])
    assert shown.exit_code == 2 and "the settings of trial t0001 are lost" in shown.output, shown.output
