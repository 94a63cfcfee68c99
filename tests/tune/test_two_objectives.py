"""A score and a cost: what Optuna is told, and that what is proposed depends on seed, number and other trials alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

import autogan_ray as ag
from autogan_ray.base.errors import ConfigError
from autogan_ray.config.study import StudyConfig, load_study_config
from autogan_ray.results.trial_log import TrialLogs
from autogan_ray.tune.caches import restore_caches
from autogan_ray.tune.optuna_search import STOPPED_AT, OptunaSearch, told_of
from autogan_ray.tune.resume import UnfinishedTrial
from tests.tune.conftest import ask, run
from tests.tune.test_optuna_search import journal, opened

TWO = {"tune.objectives": "fid,macs_g", "tune.startup_trials": 3, "tune.max_evaluations": 3}


@pytest.fixture(params=["tpe", "nsga2", "random"])
def study(request: pytest.FixtureRequest) -> StudyConfig:
    return load_study_config("digits", TWO | {"tune.searcher": request.param})


def results(number: int, evaluations: int) -> list[dict[str, Any]]:
    """Reports of a trial: its best score is the second, and the genotype there costs more than the others."""
    scores, costs = (9.0, 3.0, 5.0), (10, 70, 20)
    return [
        {"fid": scores[one] * (number % 5 + 1), "macs_g": costs[one] * (9 - number % 4), "evaluation": one + 1}
        for one in range(evaluations)
    ]


def tell(search: OptunaSearch, ray_id: str, number: int, evaluations: int) -> None:
    told = results(number, evaluations)
    for result in told[:-1]:
        search.on_trial_result(ray_id, result)
    search.on_trial_complete(ray_id, told[-1])


def test_optuna_is_told_the_best_score_and_the_cost_of_its_genotype(study: StudyConfig, tmp_path: Path) -> None:
    search = OptunaSearch(study, tmp_path / "journal")
    for number, evaluations in enumerate((3, 2, 1)):
        search.suggest(f"a{number}")
        tell(search, f"a{number}", number, evaluations)
    search.suggest("diverged")
    search.on_trial_result("diverged", results(3, 1)[0])
    search.on_trial_complete("diverged", {"fid": 1e9, "macs_g": 5, "evaluation": 2, "diverged": True})
    search.suggest("failed")
    search.on_trial_complete("failed", results(4, 1)[0], error=True)
    search.suggest("without a cost")
    search.on_trial_complete("without a cost", {"fid": 3.0, "macs_g": None, "evaluation": 1})
    found = journal(tmp_path / "journal")
    assert [trial.values for trial in found] == [[3.0, 630.0], [6.0, 560.0], [27.0, 70.0], None, None, None]
    assert [trial.state for trial in found] == [TrialState.COMPLETE] * 3 + [TrialState.FAIL] * 3
    assert [trial.user_attrs.get(STOPPED_AT) for trial in found] == [None, 2, 1, None, None, None]
    assert told_of(found[0]) == {1: [9.0, 90], 2: [3.0, 630], 3: [5.0, 180]}
    assert opened(tmp_path / "journal").directions == [optuna.study.StudyDirection.MINIMIZE] * 2


def test_a_resumed_study_proposes_what_it_would_have_proposed(study: StudyConfig, tmp_path: Path) -> None:
    whole, straight = OptunaSearch(study, tmp_path / "whole"), []
    for number in range(13):
        straight.append(whole.suggest(f"a{number}"))
        tell(whole, f"a{number}", number, 3 - number % 3)
    again: list[dict[str, Any]] = []
    for number in range(13):  # each trial by a process of its own, which dies in the middle of the trial
        search = OptunaSearch(study, tmp_path / "again", first=number)
        again.append(search.suggest("a"))
        evaluations = 3 - number % 3
        for result in results(number, evaluations)[:-1]:
            search.on_trial_result("a", result)
        search = OptunaSearch(study, tmp_path / "again", [UnfinishedTrial(number)])
        assert search.suggest("b")["trial"] == again[-1]["trial"]
        tell(search, "b", number, evaluations)
    assert again == straight and len({found["trial"] for found in straight}) == 13
    assert [trial.values for trial in journal(tmp_path / "again")] == [trial.values for trial in whole.trials]
    assert list(map(told_of, journal(tmp_path / "again"))) == list(map(told_of, whole.trials))


def test_wherever_the_driver_died_among_the_settings_the_trial_is_the_same(study: StudyConfig, tmp_path: Path) -> None:
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


def test_generations_are_counted_by_trials_and_leave_nothing_in_the_journal(tmp_path: Path) -> None:
    """A trial of the fourth generation has its settings from two parents, but for one that mutates now and then."""
    study = load_study_config("digits", TWO | {"tune.searcher": "nsga2", "tune.startup_trials": 4})
    search, inherited = OptunaSearch(study, tmp_path / "journal"), []
    for number in range(16):
        search.suggest(f"a{number}")
        earlier = [trial.params for trial in search.trials[: 4 * (number // 4)] if trial.values]
        own = search.trials[number].params
        always = ("optim.lr_g", "optim.lr_d", "optim.lr_arch_g", "optim.lr_arch_d", "space", "search.relaxation")
        inherited.append(sum(any(other[key] == own[key] for other in earlier) for key in always[:4]))
        if number == 5:
            search.on_trial_complete(f"a{number}", error=True)  # of its generation three are left
        else:
            tell(search, f"a{number}", number, 3)
    assert not any(inherited[:4]) and sum(inherited[4:]) > 0.6 * 4 * 12
    stored = opened(tmp_path / "journal")
    assert not stored._storage.get_study_system_attrs(stored._study_id)
    assert not any(trial.system_attrs for trial in stored.trials)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(200)
def test_a_study_of_two_objectives_leaves_its_front_and_goes_on_with_no_other(tmp_path: Path, own_cache: Path) -> None:
    settings = ("objectives=fid,macs_g", "searcher=nsga2", "prune_by=front", "startup_trials=2", "max_concurrent=1")
    asked = ["run", "smoke", "--trials", "5", "--set", "sweep.model.channels_g={ choice = [4, 8] }"]
    asked += [word for setting in settings for word in ("--set", f"tune.{setting}")]
    log = run(*asked, cwd=tmp_path).stdout
    folder = tmp_path / "results" / "smoke"
    assert "objectives fid, macs_g: nsga2, pruned by front" in log and "--front" in log
    trials = pd.read_parquet(folder / "trials.parquet")
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "optuna.journal"))
    told = optuna.load_study(study_name="smoke", storage=optuna.storages.JournalStorage(backend)).trials
    assert [trial.values for trial in told] == trials[["fid_best", "macs_g"]].astype(float).to_numpy().tolist()
    best = trials.loc[trials["on_front"].eq(True), "trial_id"].tolist()
    cheapest = trials.sort_values(["macs_g", "fid_best"])["trial_id"].iloc[0]
    assert {trials.loc[trials["fid_best"].idxmin(), "trial_id"], cheapest} <= set(best)
    study = StudyConfig.parse(ag.load_study(folder).config, "test", ConfigError)
    assert restore_caches(study, folder / "optuna.journal", folder / "rungs.json", TrialLogs(folder)) == []
    changed = ["--set", "tune.objectives=fid,params_g", "--out", str(folder.parent), "--resume"]
    refused = ask(*asked, *changed)
    assert refused.exit_code == 2, refused.output
    assert "tune.objectives: ['fid', 'macs_g'] -> ['fid', 'params_g']" in refused.output
