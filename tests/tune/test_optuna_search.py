"""What is proposed depends on the seed, the number and the journal: not on the process, nor on where a driver died."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from autogan_ray.base.errors import ConfigError, ResultsError
from autogan_ray.config.study import StudyConfig, TrialConfig, load_study_config
from autogan_ray.results.trial_log import TrialLogs
from autogan_ray.tune.failures import FAILURE
from autogan_ray.tune.optuna_search import OptunaSearch
from autogan_ray.tune.resume import UnfinishedTrial


@pytest.fixture(params=["tpe", "random"])
def study(request: pytest.FixtureRequest) -> StudyConfig:
    return load_study_config(
        "digits", {"tune.searcher": request.param, "tune.startup_trials": 3, "tune.max_evaluations": 3}
    )


def opened(file: Path) -> optuna.Study:
    backend = optuna.storages.journal.JournalFileBackend(str(file))
    return optuna.load_study(study_name="digits", storage=optuna.storages.JournalStorage(backend))


def journal(file: Path) -> list[optuna.trial.FrozenTrial]:
    return opened(file).trials


def tell(search: OptunaSearch, ray_id: str, number: int, evaluations: int) -> None:
    """As Ray does: scores that depend on the trial alone, the last with its end. Three are a whole trial."""
    results = [{"fid": 100.0 * (number % 5 + 1) / one, "evaluation": one} for one in range(1, evaluations + 1)]
    for result in results[:-1]:
        search.on_trial_result(ray_id, result)
    search.on_trial_complete(ray_id, results[-1])


def test_a_resumed_study_proposes_what_it_would_have_proposed(study: StudyConfig, tmp_path: Path) -> None:
    whole, straight = OptunaSearch(study, tmp_path / "whole"), []
    for number in range(9):
        straight.append(whole.suggest(f"a{number}"))
        tell(whole, f"a{number}", number, 3 - number % 3)
    again: list[dict[str, Any]] = []
    for number in range(9):  # each trial by a process of its own
        search = OptunaSearch(study, tmp_path / "again", first=number)
        again.append(search.suggest(f"b{number}"))
        tell(search, f"b{number}", number, 3 - number % 3)
    assert again == straight
    assert [found["trial_id"] for found in straight] == [f"t{number:04d}" for number in range(9)]
    assert len({found["trial"] for found in straight}) == 9
    for found in straight:
        TrialConfig.parse(json.loads(found["trial"]), "trial", ConfigError)
    states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.PRUNED] * 3
    assert [trial.state for trial in journal(tmp_path / "again")] == states
    assert [trial.number for trial in journal(tmp_path / "again")] == list(range(9))


def test_the_order_of_the_settings_in_the_file_changes_no_proposal(study: StudyConfig, tmp_path: Path) -> None:
    values = study.to_dict()
    values["sweep"] |= {
        "derive.samples": {"choice": [2, 4], "when": {"derive.perturbation": [False]}},
        "derive.perturbation": {"choice": [True, False], "when": {"search.method": ["adversarial"]}},
        "search.method": {"choice": ["adversarial", "random"]},
    }
    proposed: list[list[str]] = []
    for seed in range(4):
        keys = list(values["sweep"])
        random.Random(seed).shuffle(keys)
        shuffled = StudyConfig.parse(
            values | {"sweep": {key: values["sweep"][key] for key in keys}}, "test", ConfigError
        )
        search = OptunaSearch(shuffled, tmp_path / str(seed))
        proposed.append([])
        for number in range(8):
            proposed[-1].append(search.suggest(f"a{number}")["trial"])
            tell(search, f"a{number}", number, 3 - number % 3)
    assert proposed[1:] == proposed[:-1]
    assert {json.loads(trial)["derive"]["samples"] for trial in proposed[0]} >= {0, 2}


def test_a_trial_proposed_before_the_driver_died_is_proposed_again_unchanged(
    study: StudyConfig, tmp_path: Path
) -> None:
    file = tmp_path / "journal"
    before = OptunaSearch(study, file).suggest("a")
    opened(file).ask()  # of number 1 nothing but its existence was written
    search = OptunaSearch(study, file)
    assert search.suggest("b") == before
    whole = OptunaSearch(study, tmp_path / "other", first=1).suggest("d")
    assert search.suggest("c") == whole
    assert len(journal(file)) == 2
    # Settings are written one by one: wherever it died among them, the proposal is the same.
    lines = (tmp_path / "other").read_text().splitlines(keepends=True)
    assert len(lines) >= 6
    for count in range(2, len(lines) + 1):
        cut = tmp_path / f"cut-{count}"
        cut.write_text("".join(lines[:count]))
        assert OptunaSearch(study, cut, first=1).suggest("e") == whole


def test_wherever_the_driver_died_among_the_settings_that_tpe_proposes_the_trial_is_the_same(
    study: StudyConfig, tmp_path: Path
) -> None:
    file = tmp_path / "journal"
    search = OptunaSearch(study, file)
    for number in range(5):  # more than start at random
        search.suggest(f"a{number}")
        tell(search, f"a{number}", number, 3)
    begun = len(file.read_text().splitlines())
    whole = search.suggest("b")
    lines = file.read_text().splitlines(keepends=True)
    assert len(lines) >= begun + 5
    for count in range(begun, len(lines) + 1):
        cut = tmp_path / f"cut-{count}"
        cut.write_text("".join(lines[:count]))
        assert OptunaSearch(study, cut, first=5).suggest("c") == whole, count


def test_unfinished_trials_come_first_with_their_own_settings_and_checkpoint(
    study: StudyConfig, tmp_path: Path
) -> None:
    file = tmp_path / "journal"
    before = OptunaSearch(study, file)
    first, second = before.suggest("a"), before.suggest("b")
    tell(before, "b", 1, 3)
    before.on_trial_result("a", {"fid": 7.0, "evaluation": 1})
    config = TrialConfig.parse(json.loads(first["trial"]), "trial", ConfigError)
    ended = TrialConfig.parse(json.loads(second["trial"]), "trial", ConfigError)
    search = OptunaSearch(study, file, [UnfinishedTrial(0, config, ("/there",), 2), UnfinishedTrial(1, ended)], first=2)
    assert search.suggest("c") == first | {"checkpoints": ["/there"], "attempt": 2}
    for evaluation, fid in ((1, 999.0), (2, 5.0)):  # the first is told again: what it was stands
        search.on_trial_result("c", {"fid": fid, "evaluation": evaluation})
    search.on_trial_complete("c", {"fid": 6.0, "evaluation": 3})
    assert search.suggest("d") == second
    tell(search, "d", 0, 2)  # the journal is ahead: it ended for Optuna, but the driver died before it was written
    assert search.suggest("e")["number"] == 2
    found = journal(file)
    assert found[0].intermediate_values == {1: 7.0, 2: 5.0, 3: 6.0} and found[0].value == 5.0
    assert found[1].state == TrialState.COMPLETE and len(found[1].intermediate_values) == 3
    assert len(found) == 3


def test_ends_that_optuna_missed_are_reported_when_the_study_goes_on(study: StudyConfig, tmp_path: Path) -> None:
    """The ends that Ray had no time to tell a searcher of: then what is proposed next is what it would have been."""
    whole, cut, logs = (
        OptunaSearch(study, tmp_path / "whole"),
        OptunaSearch(study, tmp_path / "cut"),
        TrialLogs(tmp_path),
    )
    for number in range(5):
        for search in (whole, cut):
            proposed = search.suggest(f"a{number}")
        name = logs.get(f"t{number:04d}").trial_id
        logs.add(name, "trial", number=number, config=json.loads(proposed["trial"]))
        for evaluation in range(1, 4 - number % 2):
            fid = 100.0 * (number + 1) / evaluation
            record = {"evaluation": evaluation, "attempt": 0, "fid": fid, "diverged": False}
            logs.add(name, "evaluation", record=record)
        tell(whole, f"a{number}", number, 3 - number % 2)
        if number in (0, 2):  # the others are running, for the one in the journal
            tell(cut, f"a{number}", number, 3 - number % 2)
        logs.add(name, "status", status="pruned" if number % 2 else "complete")
    logs.add("t0005", "evaluation", record={"evaluation": 1, "attempt": 0, "fid": 1e9, "diverged": True})
    logs.add("t0005", "status", status="diverged")
    logs.add("t0006", "status", status="interrupted")
    for search in (whole, cut):
        for number in (5, 6):
            search.suggest(f"a{number}")
    whole.on_trial_complete("a5", {"fid": 1e9, "evaluation": 1, "diverged": True})
    for _ in range(2):  # what was told is not told again
        OptunaSearch(study, tmp_path / "cut").report_ends(logs)
        found, wanted = journal(tmp_path / "cut"), journal(tmp_path / "whole")
        assert [trial.state for trial in found] == [trial.state for trial in wanted]
        assert [trial.intermediate_values for trial in found] == [trial.intermediate_values for trial in wanted]
        assert [trial.value for trial in found] == [trial.value for trial in wanted]
    assert [trial.state.is_finished() for trial in found] == [True] * 6 + [False]
    OptunaSearch(study, tmp_path / "lost").report_ends(logs)
    assert journal(tmp_path / "lost") == []


def test_without_its_journal_a_study_goes_on_with_the_right_numbers(study: StudyConfig, tmp_path: Path) -> None:
    search = OptunaSearch(study, tmp_path / "journal", first=4)
    assert search.suggest("a")["number"] == 4
    tell(search, "a", 4, 3)
    found = journal(tmp_path / "journal")
    assert [trial.state for trial in found] == [TrialState.FAIL] * 4 + [TrialState.COMPLETE]


def test_only_finite_scores_are_reported_and_a_trial_without_a_score_has_failed(
    study: StudyConfig, tmp_path: Path
) -> None:
    search = OptunaSearch(study, tmp_path / "journal")
    search.suggest("a")
    for result in ({"fid": float("nan"), "evaluation": 1}, {"fid": None, "evaluation": 1}, {"evaluation": 1}, {}):
        search.on_trial_result("a", result)
        search.on_trial_result("stranger", result)
    search.on_trial_complete("a", None, error=False)
    search.on_trial_complete("stranger", None)
    search.suggest("b")
    search.on_trial_complete("b", {"fid": 1e9, "evaluation": 1, "diverged": True})
    search.suggest("c")
    search.on_trial_complete("c", {"fid": 3.0, "evaluation": 1}, error=True)
    found = journal(tmp_path / "journal")
    assert [trial.state for trial in found] == [TrialState.FAIL] * 3
    assert not any(trial.intermediate_values for trial in found)


def test_a_trial_that_diverged_after_good_scores_has_failed_for_optuna(study: StudyConfig, tmp_path: Path) -> None:
    search = OptunaSearch(study, tmp_path / "journal")
    for name, last in (
        ("a", {"fid": 1e9, "evaluation": 2, "diverged": True}),
        ("b", {FAILURE: '{"type": "ValueError", "message": "no"}'}),
    ):
        search.suggest(name)
        search.on_trial_result(name, {"fid": 3.0, "evaluation": 1, "diverged": False})
        search.on_trial_complete(name, last)
    search.suggest("c")
    search.on_trial_result("c", {"fid": 3.0, "evaluation": 1, "diverged": False})
    logs = TrialLogs(tmp_path)  # of a run that ended before Ray told of the end
    for evaluation, fid in ((1, 3.0), (2, 1e9)):
        record = {"evaluation": evaluation, "attempt": 0, "fid": fid, "diverged": fid > 3}
        logs.add("t0002", "evaluation", record=record)
    logs.add("t0002", "status", status="diverged")
    OptunaSearch(study, tmp_path / "journal").report_ends(logs)
    assert [trial.state for trial in journal(tmp_path / "journal")] == [TrialState.FAIL] * 3


def test_a_journal_with_a_torn_end_or_a_dead_drivers_lock_is_repaired(study: StudyConfig, tmp_path: Path) -> None:
    file = tmp_path / "journal"
    first = OptunaSearch(study, file).suggest("a")
    whole = file.read_bytes()
    (tmp_path / "journal.lock").symlink_to(tmp_path / "where the folder was" / "journal")
    for tail in (b'{"op_code":4,"wor', b'{"op_code":\n', b"\0\0\0\0"):
        file.write_bytes(whole + tail)
        start = time.monotonic()
        assert OptunaSearch(study, file).suggest("b") == first
        assert time.monotonic() - start < 10 and file.read_bytes().startswith(whole)
        assert len(journal(file)) == 1
    file.write_bytes(whole[:20])
    assert OptunaSearch(study, file).suggest("c") == first
    lines = whole.splitlines(keepends=True)
    file.write_bytes(lines[0] + b"{torn\n" + b"".join(lines[1:]))
    with pytest.raises(ResultsError, match="line 2 is damaged"):
        OptunaSearch(study, file)
