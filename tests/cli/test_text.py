"""What a terminal shows of trials."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from autogan_ray.cli.main import main
from autogan_ray.cli.text import echo, table, trial_table
from autogan_ray.results.study_tables import read_table
from autogan_ray.results.tables import write_tables
from autogan_ray.results.trial_log import TrialLogs
from autogan_ray.study.study_file import read_about, write_about
from tests.cli.studies import finished_study
from tests.results.test_tables import ABOUT, tell


def test_what_a_terminal_would_obey_is_printed_as_an_escape(capsys: pytest.CaptureFixture[str]) -> None:
    echo("t0001\t\x1b[2J\x07\r\x9b31m \u202efdp.exe Ä \U0001f600\nnext")
    assert capsys.readouterr().out == "t0001\t\\x1b[2J\\x07\\r\\x9b31m \\u202efdp.exe Ä \U0001f600\nnext\n"
    assert table(["a"], [["x\ny\x1b"]]).splitlines()[-1] == "x\\ny\\x1b"


def test_show_list_and_errors_print_no_escape_of_a_study(tmp_path: Path) -> None:
    folder = tmp_path / "a\x1b[2Jb"
    finished_study(folder)
    file = folder / "trials" / "t0001.jsonl"
    file.write_text(file.read_text().replace("autogan/fixed", "a\\u001b[31m"))
    (folder / "trials" / "t0001.log").write_text("\x1b]0;title\x07\n")
    about = read_about(folder)
    write_about(folder, about | {"metric": "FD \x1b[1m", "data_read": "\x1b[5m"})
    write_tables(folder, read_about(folder), TrialLogs(folder))
    for typed in (["show"], ["show", "t0000"], ["show", "t0001"], ["show", "t0001", "--follow"], ["show", "\x1b"]):
        shown = CliRunner().invoke(main, [typed[0], str(folder), *typed[1:]])
        assert shown.output and "\x1b" not in shown.output and "\x07" not in shown.output, typed
    listed = CliRunner().invoke(main, ["list", str(tmp_path)]).output
    assert "a\\x1b[2Jb" in listed and "\x1b" not in listed


def test_a_trial_is_called_decided_by_the_evaluation_whose_score_and_genotype_are_shown(tmp_path: Path) -> None:
    def shown(*shares: float, grace: int = 1) -> list[list[str]]:
        folder = tmp_path / f"{shares} {grace}"
        logs = TrialLogs(folder)
        for evaluation, share in enumerate(shares, 1):
            tell(logs, 0, evaluation, float(evaluation))
            decisions = {f"g.cell1.{name}": {"a": [0.0, share], "b": [0.0, 1 - share]} for name in "xyz"}
            record = logs.get("t0000").evaluations[evaluation] | {"decisions": decisions}
            record["genotype"] |= {"generator": dict.fromkeys(decisions, "a")}
            logs.add("t0000", "evaluation", record=record)
        if not shares:
            logs.add("t0000", "trial", number=0, config={})
        write_tables(folder, ABOUT | {"grace_evaluations": grace}, logs)
        return [line.split() for line in trial_table(read_table(folder, "trials"), "FID", grace).splitlines()]

    first = shown(0.5, 1.0)[-1]
    assert first[-4:-2] == ["1/2", "1"] and first[-1] == "UNDECIDED"
    later = shown(1.0, 0.5, grace=2)
    assert later[-1][-3] == "2" and later[-1][-1] == "decided"
    assert later[0][-5:] == ["at/of", "at", "2", "genotype", "decisions"]
    assert shown(1.0, grace=2)[-1][-3] == "-" and shown(1.0, grace=2)[-1][-1] == "decided"
    assert shown()[-1][-1] == "-"
