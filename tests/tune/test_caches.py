"""The rungs and Optuna's journal follow from the trials' logs, whatever has become of their files."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.trial import FrozenTrial

from autogan_ray.base.errors import ResultsError
from autogan_ray.config.study import StudyConfig, load_study_config
from autogan_ray.results.trial_log import TrialLogs, name_of
from autogan_ray.tune.asha import ResumableASHA, read_rungs
from autogan_ray.tune.caches import restore_caches
from autogan_ray.tune.optuna_search import OptunaSearch, told_of

TWO = {"tune.objectives": "fid,macs_g"}


@pytest.fixture(
    params=[("tpe", {}), ("random", {}), ("tpe", TWO), ("nsga2", TWO), ("nsga2", TWO | {"tune.prune_by": "front"})]
)
def study(request: pytest.FixtureRequest) -> StudyConfig:
    searcher, objectives = request.param
    changes = {"tune.searcher": searcher, "tune.startup_trials": 2, "tune.max_evaluations": 9} | objectives
    return load_study_config("digits", changes | {"tune.grace_evaluations": 1})


def run_side_by_side(study: StudyConfig, folder: Path, ends: int = 8) -> None:
    """Three trials at a time, each report as Ray tells it: ASHA decides, Optuna hears, the log gets its lines.

    Of ten trials two are still running in the end; one has failed.
    """
    search, asha = OptunaSearch(study, folder / "optuna.journal"), ResumableASHA(study, folder / "rungs.json")
    logs, draw, running, begun = TrialLogs(folder), random.Random(1), [], 0
    while ends > 0 or running:
        while len(running) < 3 and begun < 10:
            proposed = search.suggest(f"rays-{begun}")
            trial: Any = SimpleNamespace(trial_id=f"rays-{begun}", config=proposed)
            asha.on_trial_add(None, trial)
            logs.add(proposed["trial_id"], "trial", number=begun, config=json.loads(proposed["trial"]))
            running.append(trial)
            begun += 1
        if ends == 0:
            return
        trial = draw.choice(running)
        name = trial.config["trial_id"]
        number = len(logs.get(name).evaluations) + 1
        fid, cost = draw.uniform(1, 9) / number, 1000 + (number * 7 + trial.config["number"]) % 5
        record = {"evaluation": number, "attempt": 0, "fid": fid, "diverged": False, "macs_g": cost}
        decision = asha.on_trial_result(None, trial, record)
        if decision != "STOP":
            search.on_trial_result(trial.trial_id, record)
        logs.add(name, "evaluation", record=record)
        failed = name == "t0004" and number == 2
        if decision == "STOP" or failed:
            search.on_trial_complete(trial.trial_id, None if failed else record, error=failed)
            status = "error" if failed else "complete" if number == 9 else "pruned"
            logs.add(name, "status", status=status, evaluations=number)
            running.remove(trial)
            ends -= 1


def known(trials: list[FrozenTrial]) -> list[Any]:
    return [(one.number, one.state, one.values, one.params, told_of(one)) for one in trials]


def gone(file: Path) -> None:
    file.unlink()


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def cut(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * 2 // 3])


def other_json(file: Path) -> None:
    file.write_bytes(b'{"rungs": [[1, {"t0000": -1}]], "stopped": {}}\n[1, 2]\n')


def other_number(file: Path) -> None:
    """Another digit in the score of a trial that has ended."""
    content, score = file.read_bytes(), b"%r" % json.loads(log_of(file).splitlines()[1])["record"]["fid"]
    assert score in content
    file.write_bytes(content.replace(score, score[:-3] + bytes([score[-3] ^ 1]) + score[-2:], 1))


def log_of(file: Path) -> bytes:
    return (file.parent / "trials" / "t0000.jsonl").read_bytes()


@pytest.mark.parametrize("lose", [gone, emptied, cut, other_json, other_number])
def test_what_was_lost_is_built_again_and_the_study_goes_on_as_it_would_have(
    study: StudyConfig, tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    run_side_by_side(study, tmp_path)
    journal, rungs, logs = tmp_path / "optuna.journal", tmp_path / "rungs.json", TrialLogs(tmp_path)
    assert restore_caches(study, journal, rungs, logs) == []
    before, entered = known(OptunaSearch(study, journal).trials), read_rungs(rungs)
    assert len({state for _, state, *_ in before}) >= 3 and entered.stopped
    lose(journal), lose(rungs)
    told = restore_caches(study, journal, rungs, logs)
    assert [text.partition(" is built again from the trials' logs: ")[0] for text in told] == [
        "rungs.json",
        "optuna.journal",
    ]
    assert known(OptunaSearch(study, journal).trials) == before
    found = read_rungs(rungs)
    assert found.stopped == entered.stopped
    assert found.entered == {rung: trials for rung, trials in entered.entered.items() if rung < 9}
    assert restore_caches(study, journal, rungs, logs) == []
    straight = tmp_path / "straight"
    straight.mkdir()
    run_side_by_side(study, straight)
    following = [
        OptunaSearch(study, folder / "optuna.journal", first=10).suggest("next") for folder in (tmp_path, straight)
    ]
    assert following[0] == following[1]


def test_a_report_that_the_logs_have_not_is_no_damage(study: StudyConfig, tmp_path: Path) -> None:
    """Ray tells ASHA and Optuna before the log has its line, and the driver may die in between."""
    run_side_by_side(study, tmp_path)
    journal, rungs, logs = tmp_path / "optuna.journal", tmp_path / "rungs.json", TrialLogs(tmp_path)
    log = next(log for log in logs if log.state == "pending")
    record = {"evaluation": len(log.evaluations) + 1, "fid": 1.0, "diverged": False, "macs_g": 1}
    search, asha = OptunaSearch(study, journal), ResumableASHA(study, rungs)
    trial: Any = SimpleNamespace(trial_id="rays", config={"trial_id": log.trial_id})
    asha.on_trial_add(None, trial)
    asha.on_trial_result(None, trial, record)
    search._reported["rays"] = search._reported_trial(log.number)
    search.on_trial_result("rays", record)
    search.suggest("new")  # of which no log knows
    before = known(OptunaSearch(study, journal).trials), read_rungs(rungs)
    assert restore_caches(study, journal, rungs, logs) == []
    assert (known(OptunaSearch(study, journal).trials), read_rungs(rungs)) == before


def test_the_rungs_of_a_log_that_has_lost_an_evaluation_hold_no_later_score(study: StudyConfig, tmp_path: Path) -> None:
    run_side_by_side(study, tmp_path)
    rungs, logs = tmp_path / "rungs.json", TrialLogs(tmp_path)
    replayed = ResumableASHA(study, None)
    name = next(log.trial_id for log in logs if len(log.evaluations) >= 3)
    lines = [
        (one, line)
        for one, line in logs.in_order()
        if one != name or line["kind"] != "evaluation" or line["record"]["evaluation"] > 1
    ]
    replayed.replay(lines)
    assert all(name not in entered for entered in replayed.rungs.entered.values())
    assert restore_caches(study, tmp_path / "optuna.journal", rungs, logs) == []
    assert name_of(0) in read_rungs(rungs).entered[1.0]


def test_a_journal_of_one_objective_is_built_again_for_two(tmp_path: Path) -> None:
    one, two = (load_study_config("digits", {"tune.max_evaluations": 9} | more) for more in ({}, TWO))
    run_side_by_side(one, tmp_path)
    journal = tmp_path / "optuna.journal"
    with pytest.raises(ResultsError, match=r"1 objectives, this one has \['fid', 'macs_g'\]; go on with --resume"):
        OptunaSearch(two, journal)
    restore_caches(two, journal, tmp_path / "rungs.json", TrialLogs(tmp_path))
    assert {len(trial.values) for trial in OptunaSearch(two, journal).trials if trial.values} == {2}
