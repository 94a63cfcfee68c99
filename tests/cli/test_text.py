"""What a terminal shows of trials."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from autogan_ray.cli.main import main
from autogan_ray.cli.text import echo, table, trial_table
from autogan_ray.results.store import read_rows, write_table
from autogan_ray.results.study_tables import read_table
from autogan_ray.results.tables import write_tables
from autogan_ray.results.trial_log import TrialLogs
from autogan_ray.study.study_file import read_about, write_about
from tests.cli.studies import add_trial, finished_study
from tests.results.made_studies import made_study
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


def test_show_says_why_trials_failed_or_diverged(tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    first = finished_study(folder)[0]
    for _ in range(2):
        add_trial(folder, first, fid=1e9, diverged=True, diverged_by="loss_d is not finite")
    logs = TrialLogs(folder)
    for trial in ("t0002", "t0003"):
        logs.add(trial, "status", status="diverged")
    logs.add("t0001", "status", status="error", error_type="OutOfMemoryError", error_message="CUDA out of memory\nmore")
    write_tables(folder, read_about(folder), logs)
    lines = CliRunner().invoke(main, ["show", str(folder)]).output.splitlines()
    assert "diverged: 2 of 4 trials (t0002, t0003): loss_d is not finite" in lines
    assert "failed: 1 of 4 trials (t0001): OutOfMemoryError: CUDA out of memory" in lines
    for trial, words in (("t0000", "complete"), ("t0002", "diverged: loss_d is not finite")):
        assert CliRunner().invoke(main, ["show", str(folder), trial]).output.startswith(f"trial {trial}: {words}\n")
    failed = CliRunner().invoke(main, ["show", str(folder), "t0001"]).output
    assert failed.startswith("trial t0001: error: OutOfMemoryError: CUDA out of memory\nmore\n")


def test_networks_of_another_recipe_stand_in_a_table_of_their_own(tmp_path: Path) -> None:
    folder = made_study(tmp_path / "made", retrained=2).folder
    shown = CliRunner().invoke(main, ["show", str(folder)]).output
    assert shown.count("retrained from scratch\n") == 1
    rows = read_rows(folder, "evaluations")
    own = [row["name"] for row in rows]
    for row in [row for row in rows if row["source"] == "published"]:
        other = {"recipe": "derived-k16-bbbbbb", "evaluation_id": row["evaluation_id"].replace("aaaaaa", "bbbbbb")}
        rows.append(row | other | {"fid": 0.5, "params_g": None, "fresh_seed": row["seed"] > 0})
    write_table(folder, "evaluations", rows)
    tables = CliRunner().invoke(main, ["show", str(folder)]).output.partition("retrained from scratch")[2]
    first, _, second = tables.partition("retrained from scratch by recipe derived-k16-bbbbbb\n")
    assert first.startswith(" by recipe derived-k16-aaaaaa\n") and " 0.5 " not in first
    assert sum(line.split("  ")[0] in own for line in first.splitlines()) == len(own)
    assert second.count(" 0.5 ") == 3 and "(1 of these seeds took part in choosing their network" in second


def test_a_study_without_its_row_is_named_and_hides_no_other(tmp_path: Path) -> None:
    for name in ("one", "two"):
        finished_study(tmp_path / name)
    write_table(tmp_path / "one", "studies", [])
    listed = CliRunner().invoke(main, ["list", str(tmp_path)])
    assert listed.exit_code == 0 and "damaged" in listed.output and "complete" in listed.output
    for verb in ("show", "compare", "report", "simulate"):
        found = CliRunner().invoke(main, [verb, str(tmp_path / "one")])
        assert found.exit_code == 2 and "studies.parquet has no row; the study's command with --resume" in found.output
