"""``simulate`` on tables as studies leave them: what it prints, what it advises, and what it refuses."""

from __future__ import annotations

import json
import shlex
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from autogan_ray.cli.main import main
from autogan_ray.results.store import write_table

START = datetime(2026, 1, 1, tzinfo=UTC)
QUICK = ["--orders", "80"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def study(name: str, curves: list[list[float]], kimg: tuple[float, ...] = (4.0,), **about: Any) -> Path:
    """The folder ``results/NAME`` with curves in its tables: of ``[]`` no evaluation, and 1e9 is a diverged one.

    An evaluation comes every so many kimg, each of ``kimg`` in turn for one trial.
    """
    folder = Path("results") / name
    config = json.dumps({"name": name, "tune": {"max_concurrent": None}})
    row = {"study_id": name, "name": name, "status": "complete", "max_evaluations": 9, "scheduler": "none"}
    row |= {"metric": "FD (classifier)", "command": f"autogan-ray run smoke --name {name}", "config_json": config}
    write_table(folder, "studies", [row | about])
    write_table(
        folder,
        "history",
        [
            {
                "study_id": name,
                "trial_id": f"t{trial:04d}",
                "evaluation": evaluation,
                "fid": fid,
                "kimg": kimg[trial % len(kimg)] * evaluation,
                "timestamp": START + timedelta(seconds=(1 + trial % 3) * evaluation),
            }
            for trial, curve in enumerate(curves)
            for evaluation, fid in enumerate(curve, 1)
        ],
    )
    return folder


def whole(count: int = 12) -> list[list[float]]:
    """Falling curves of nine evaluations that never cross: any setting keeps the best."""
    return [[50.0 + 5 * trial - evaluation for evaluation in range(9)] for trial in range(count)]


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["simulate", *arguments])


def refused(*arguments: str) -> str:
    found = ask(*arguments)
    assert found.exit_code == 2 and "Traceback" not in found.output, (found.output, found.exception)
    return " ".join(found.output.split())


def test_each_setting_gets_a_line_and_the_cheapest_that_keeps_the_best_is_advised() -> None:
    study("a", whole(), scheduler="asha", grace_evaluations=5, reduction_factor=2.5)
    found = ask("a", *QUICK)
    assert found.exit_code == 0, (found.output, found.exception)
    lines = found.stdout.splitlines()
    assert "taking results/a" in found.stderr and "12 curves in 80 orders under 13 settings" in found.stderr
    assert lines[0].startswith("12 curves of up to 9 evaluations (0 cut, 0 diverged), 80 orders of arrival, 2 trials")
    rows = [line.split() for line in lines[3:-2]]
    assert [row[0] for row in rows] == ["none"] + ["score"] * 13 + ["best"] * 13
    assert rows[0][4:6] == ["100%", "100%"]
    assert ["score", "5", "2.5", "5"] in [row[:4] for row in rows], "the study's own setting is among them"
    assert lines[-2].startswith("advised at ") and "at least 95% of orders" in lines[-2]
    assert lines[-1].startswith(
        "  --set tune.scheduler=asha --set tune.grace_evaluations=1 --set tune.reduction_factor="
    )
    wanted = shlex.split(lines[-1])
    assert (
        CliRunner().invoke(main, ["run", "smoke", "--set", "tune.max_evaluations=9", *wanted, "--dry-run"]).exit_code
        == 0
    )


def test_where_no_setting_beats_running_all_it_says_so() -> None:
    # The best of all is the worst until its last evaluation.
    late = [[*curve[:8], 1.0] for curve in whole(1)]
    study("a", [[90.0 + fid for fid in late[0][:8]] + [1.0], *whole(11)])
    lines = ask("results/a", *QUICK).stdout.splitlines()
    assert lines[-2].startswith("no setting beats running all trials whole: none keeps the best in at least 95%")
    assert lines[-1] == "  --set tune.scheduler=none"
    assert ask("results/a", *QUICK, "--may-lose", "1").stdout.splitlines()[-1] == "  --set tune.scheduler=none"


def test_json_has_the_numbers_of_each_setting_and_the_advice() -> None:
    folder = study("a", [*whole(9), [70.0, 1e9]], gpus=4)
    found = json.loads(ask(str(folder), *QUICK, "--json", "--grace", "2", "--factor", "3").stdout)
    settings = found.pop("settings")
    counts = {"curves": 10, "cut_curves": 0, "diverged_curves": 1, "max_evaluations": 9, "orders": 80, "seed": 0}
    assert found == counts | {"slots": 4, "advice": found["advice"], "reason": found["reason"]}
    assert found["reason"].startswith("advised at ")
    assert found["advice"] == ["tune.scheduler=asha", "tune.grace_evaluations=2", "tune.reduction_factor=3"]
    none, score, best = settings
    assert (none["scheduler"], none["grace_evaluations"], none["cost"]) == ("none", None, 1.0)
    assert (score["best_so_far"], best["best_so_far"], score["decides_at"]) == (False, True, [2, 6])
    assert score["best_survives"] == 1.0 and score["regret"] == 0.0 < score["random_regret"] and score["cut"] == 0.0
    assert score["cost_low"] <= score["cost"] <= score["cost_high"] < 1


def test_curves_of_several_studies_are_pooled_and_a_file_alone_will_do() -> None:
    one, two = study("a", whole(5)), study("b", whole(4))
    assert json.loads(ask(str(one), str(two), *QUICK, "--json").stdout)["curves"] == 9
    (one / "studies.parquet").unlink()
    alone = json.loads(ask(str(one / "history.parquet"), *QUICK, "--json").stdout)
    assert (alone["curves"], alone["max_evaluations"], alone["slots"]) == (5, 9, 2)


def test_nothing_is_advised_from_a_few_curves() -> None:
    study("a", whole(7))
    lines = ask("results/a", *QUICK).stdout.splitlines()
    assert lines[-1] == (
        "warning: nothing can be concluded from 7 curves that have a score at a decision; it takes 8 at least"
    )
    assert not any("--set" in line for line in lines)
    assert json.loads(ask("results/a", *QUICK, "--json").stdout)["advice"] == []


def test_nothing_is_advised_from_too_few_orders_to_show_how_often_the_best_survives() -> None:
    study("a", whole())

    def said(*more: str) -> str:
        return ask("results/a", "--grace", "2", "--factor", "3", *more).stdout.splitlines()[-1]

    for orders in ("1", "72"):
        assert said("--orders", orders) == (
            f"warning: nothing can be concluded from --orders {orders}; with --may-lose 0.05 it takes 73 at least"
        )
    assert said("--orders", "73").startswith("  --set tune.scheduler=asha"), "it keeps the best in all of them"
    assert "with --may-lose 1 it takes 30" in said("--orders", "1", "--may-lose", "1"), "regret takes some as well"
    assert said("--orders", "30", "--may-lose", "0.2").startswith("  --set tune.scheduler=asha")


def test_a_setting_whose_interval_has_the_limit_inside_is_undecided() -> None:
    # The best is second at the rung: it is stopped where it arrives behind the first and few others.
    late = [[53.5, 53.5, 53.5, 10.0, *[9.0 - 0.1 * n for n in range(5)]], *whole(12)]
    study("a", late)
    words = ["results/a", "--grace", "1", "--factor", "3", "--may-lose"]
    row = json.loads(ask(*words, "0.05", "--json").stdout)["settings"][1]
    low, survives, high = (row[f"best_survives{end}"] for end in ("_low", "", "_high"))
    assert 0.1 < low < survives < high < 0.9
    between = (survives + low) / 2
    lines = ask(*words, str(1 - between)).stdout.splitlines()
    assert lines[-2].startswith("undecided: grace 1, factor 3 at ")
    assert lines[-2].endswith(f"it keeps the best in {low:.1%} to {high:.1%} of orders; more --orders would tell")
    assert lines[-1].startswith("nothing is advised")
    assert "--set tune.scheduler=asha" in ask(*words, str(1 - low + 0.001)).stdout
    assert "--set tune.scheduler=none" in ask(*words, str(1 - high - 0.001)).stdout


def test_curves_without_a_score_at_a_decision_do_not_count() -> None:
    study("a", [*[[1e9]] * 6, *whole(2)])
    found = json.loads(ask("results/a", "--json").stdout)
    assert found["curves"] == 8 and found["advice"] == []
    assert "nothing can be concluded from 2 curves that have a score at a decision" in found["reason"]
    study("b", [*[[60.0, 59.0, 1e9]] * 6, *whole(7)])
    lines = ask("results/b", "--grace", "3", "--grace", "8", "--factor", "1.2").stdout.splitlines()
    assert "nothing can be concluded from 7 curves" in lines[-1], "the others diverge before either decides"


def test_curves_that_were_cut_are_refused_with_the_command_that_records_whole_ones() -> None:
    pruned = [curve if trial < 4 else curve[:2] for trial, curve in enumerate(whole())]
    command = "autogan-ray run smoke --out 'my results' --name a --resume --set tune.scheduler=asha"
    folder = study("a", pruned, command=command)
    said = refused(str(folder), *QUICK)
    assert "8 of 12 curves were cut before evaluation 9, and " in said and "more than --cut-limit 0.1" in said
    begun = "autogan-ray run smoke --out 'my results' --name a --set tune.scheduler=asha"
    again = f"{begun} --name a-whole --set tune.scheduler=none"
    assert said.endswith(f"Record whole curves by {again}")
    dry = CliRunner().invoke(main, [*shlex.split(again)[1:], "--dry-run", "--json"])
    assert dry.exit_code == 0 and json.loads(dry.stdout)["study"]["tune"]["scheduler"] == "none", dry.output
    assert ask(str(folder), *QUICK, "--cut-limit", "1").exit_code == 0
    assert ask(str(folder), *QUICK, "--max-evaluations", "2").exit_code == 0, "all are whole up to there"
    (folder / "studies.parquet").unlink()
    assert "run STUDY --set tune.scheduler=none" in refused(str(folder / "history.parquet"), *QUICK)


def late_winner() -> list[list[float]]:
    """Twelve curves of nine evaluations, two of them cut at 4; the best looks worst until 3, and is best from 4 on."""
    cut = [[100.0 - 6 * evaluation for evaluation in range(4)] for _ in range(2)]
    others = [[100.0 + 2 * trial - 6 * evaluation for evaluation in range(9)] for trial in range(1, 10)]
    return [[300.0, 250.0, 200.0, 60.0, 40.0, 30.0, 20.0, 15.0, 10.0], *cut, *others]


def test_settings_that_keep_the_best_with_too_many_decisions_unknown_are_named_as_undecided() -> None:
    study("a", late_winner())
    words = ["results/a", "--grace", "1", "--grace", "4", "--factor", "2", "--factor", "4"]
    lines = ask(*words).stdout.splitlines()
    assert lines[-1].startswith("nothing is advised: only undecided settings may keep the best in at least 95% of")
    assert lines[-2] == "  autogan-ray run smoke --name a --name a-whole --set tune.scheduler=none"
    assert lines[-3] == "whole curves would tell; record them by"
    assert [line.split(" at ")[0] for line in lines[-5:-3]] == [f"undecided: grace 4, factor {n}" for n in (4, 2)]
    assert lines[-4].endswith(" of its decisions lie beyond the ends of cut curves, more than --cut-limit 0.1")
    assert json.loads(ask(*words, "--json").stdout)["advice"] == []


def test_a_cheaper_setting_that_is_undecided_is_named_beside_the_advice() -> None:
    study("a", late_winner())
    words = ["results/a", "--grace", "1", "--grace", "4", "--factor", "4", "--factor", "1.3"]
    lines = ask(*words).stdout.splitlines()
    assert lines[-1].endswith("--set tune.grace_evaluations=4 --set tune.reduction_factor=1.3")
    assert "the cheapest known to keep the best" in lines[-2]
    assert lines[-5].startswith("undecided: grace 4, factor 4 at ")


def test_the_first_evaluations_of_trials_are_no_ground_for_a_setting_of_whole_ones() -> None:
    study("a", [*whole(), [200.0, 199.0, 198.0]])
    words = ["results/a", *QUICK, "--max-evaluations", "3", "--grace", "1", "--factor", "3"]
    found = ask(*words)
    lines = found.stdout.splitlines()
    assert lines[-6] == "for the first 3 of 9 evaluations alone:" and lines[-5].startswith("advised at ")
    assert lines[-4] == "  tune.scheduler=asha, tune.grace_evaluations=1, tune.reduction_factor=3"
    assert lines[-3].startswith("for whole trials nothing is advised: they go on to evaluation 9")
    assert "with tune.max_evaluations=3 a study spreads 3 evaluations over the same search.kimg" in lines[-3]
    assert lines[-3].endswith("Replay all evaluations, without --max-evaluations")
    assert lines[-1] == "  autogan-ray run smoke --name a --name a-whole --set tune.scheduler=none"
    assert "--set" not in " ".join(lines[:-1])
    as_json = json.loads(ask(*words, "--json").stdout)
    assert as_json["advice"] == [] and as_json["reason"].startswith("for the first 3 of 9 evaluations alone:")
    study("b", whole())
    assert ask("results/b", *words[1:]).stdout.endswith("without --max-evaluations\n"), "its curves are whole"
    assert ask("results/b", *QUICK, "--max-evaluations", "9").stdout == ask("results/b", *QUICK).stdout
    study("c", whole(), max_evaluations=12)
    pooled = ask("results/b", "results/c", *QUICK, "--max-evaluations", "9").stdout
    assert "for the first 9 of 12 evaluations alone:" in pooled and "Replay the studies one by one, whole\n" in pooled


def test_what_cannot_be_replayed_is_named() -> None:
    folder = study("a", whole(3))
    assert "'nowhere' is not a study's folder" in refused("nowhere")
    assert "results' there are studies, did you mean 'a'?" in refused("results/aa")
    assert "there is no file 'results/a/histori.parquet'; did you mean 'history.parquet'" in refused(
        "results/a/histori.parquet"
    )
    assert "studies.parquet is no table 'history'" in refused("results/a/studies.parquet")
    assert "Missing argument 'HISTORY...'" in refused()
    (folder / "text.parquet").write_text("no table")
    assert "text.parquet is damaged" in refused("results/a/text.parquet")
    study("empty", [])
    assert "has no evaluation yet" in refused("results/empty")
    study("lost", [[1e9], [1e9]])
    assert "every trial diverged before its first score" in refused("results/lost")
    study("short", [[1.0], [2.0]], max_evaluations=1)
    assert "have one evaluation: there is nothing to stop" in refused("results/short")


@pytest.mark.parametrize(
    ("said", "arguments"),
    [
        ("'--orders': -1 is not in the range 1<=x<=10000", ["--orders", "-1"]),
        ("'--slots': 0 is not in the range", ["--slots", "0"]),
        ("'--orders': 'many' is not a valid whole number", ["--orders", "many"]),
        ("'--factor': 1.0 is not in the range x>=1.1", ["--factor", "1"]),
        ("'--may-lose': 0.0 is not in the range 0.001<=x<=1", ["--may-lose", "0"]),
        ("'--cut-limit': 10.0 is not in the range 0<=x<=1", ["--cut-limit", "10"]),
        ("--max-evaluations 10: no trial has more than 9 evaluations; give at most 9", ["--max-evaluations", "10"]),
        ("--grace 9: trials have 9 evaluations, and nothing is decided at the last; give at most 8", ["--grace", "9"]),
    ],
)
def test_a_number_out_of_its_range_is_named_with_the_range(said: str, arguments: list[str]) -> None:
    study("a", whole(3))
    assert said in refused("results/a", *arguments)


def test_scores_that_cannot_be_compared_are_not_pooled() -> None:
    one, other, longer = (
        study("a", whole(3)),
        study("b", whole(3), metric="FID"),
        study("c", whole(3), max_evaluations=12),
    )
    assert "metric is 'FD (classifier)' and 'FID'; replay them one by one" in refused(str(one), str(other))
    assert "has trials of 9 evaluations" in (said := refused(str(one), str(longer)))
    assert "give --max-evaluations, such as 9" in said
    assert ask(str(one), str(longer), "--max-evaluations", "9", *QUICK).exit_code == 0


def test_studies_whose_evaluations_are_of_unlike_training_are_not_pooled() -> None:
    short, long, near = study("a", whole(5)), study("b", whole(5), (1500.0,)), study("c", whole(5), (4.03,))
    said = refused(str(short), str(long))
    assert "evaluation 9 comes after 36 kimg in trial t0000 of results/a/history.parquet, and after 1.35e+04 " in said
    assert "in trial t0000 of results/b/history.parquet: scores" in said and said.endswith("the studies one by one")
    assert ask(str(short), str(near), *QUICK).exit_code == 0, "whole steps of another batch size"
    cut = study("d", [[5.0], *whole(2)[1:]], (6.0, 4.0))
    assert "evaluation 1 comes after 4 kimg" in refused(str(short), str(cut)), "a short curve is compared where it ends"
    more = study("e", whole(5), (3.0,), max_evaluations=12)
    assert "after 27 kimg in trial t0000 of results/e" in refused(str(short), str(more)), "not: give --max-evaluations"


def test_a_study_that_sweeps_its_length_is_replayed_by_evaluations_and_says_so() -> None:
    study("a", whole(), (4.0, 8.0))
    found = ask("results/a", *QUICK)
    assert found.exit_code == 0 and found.stdout.splitlines()[-1].startswith("  --set tune.scheduler=asha")
    assert "warning: evaluation 9 comes after 36 kimg in trial t0000" in found.stderr
    assert "72 kimg in trial t0001" in found.stderr and "compared by the number of their evaluations" in found.stderr
    study("b", whole())
    assert "warning" not in ask("results/b", *QUICK).output


def test_a_trial_that_is_given_twice_is_named_with_both_places() -> None:
    folder = study("a", whole(5))
    shutil.copytree(folder, "copy")
    said = refused("results/a", "copy")
    assert "trial t0000 of study 'a' is in results/a/history.parquet and in copy/history.parquet" in said
    assert said.endswith("would count double; give one of the two")
    assert "is in results/a/history.parquet and in results/a/history.parquet" in refused(
        "results/a", "results/a/history.parquet"
    )


def test_a_gap_in_a_curve_is_named() -> None:
    folder = study("a", whole(2))
    rows = [
        {"study_id": "a", "trial_id": "t0001", "evaluation": evaluation, "fid": np.pi, "timestamp": START}
        for evaluation in (1, 2, 4)
    ]
    write_table(folder, "history", rows)
    assert "evaluation 3 of trial t0001 is missing" in refused(str(folder))


def test_a_study_whose_trials_were_stopped_by_the_front_is_refused() -> None:
    tune = {"objectives": ["fid", "macs_g"], "prune_by": "front"}
    config: dict[str, Any] = {
        "config_json": json.dumps({"name": "a", "tune": tune}),
        "grace_evaluations": 2,
        "reduction_factor": 3.0,
    }
    study("a", whole(), **config, scheduler="asha")
    assert "by tune.prune_by = 'front', and what is replayed is stopping by scores" in refused("results/a", *QUICK)
    study("b", whole(), **config)
    assert ask("results/b", *QUICK).exit_code == 0, "of a study in which nothing was stopped the setting did nothing"
