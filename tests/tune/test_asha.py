"""ASHA's memory: rungs and decisions survive the process, and nothing that diverged is in them."""

from __future__ import annotations

import itertools
import json
import random
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from autogan_ray.base.errors import ResultsError
from autogan_ray.base.json_lines import read_lines
from autogan_ray.config.study import load_study_config
from autogan_ray.tune.asha import ResumableASHA, goes_past, read_rungs, stopped_trials

RAYS = itertools.count()
"""Ray's ids: a trial has another in each run."""


def keeper(file: Path) -> ResumableASHA:
    study = load_study_config("smoke", {"tune.max_evaluations": 9, "tune.grace_evaluations": 1})
    return ResumableASHA(study, file)


def fids(rungs: ResumableASHA) -> dict[float, dict[str, float]]:
    """Evaluation of the rung -> trial -> its FID there. (Ray keeps the negative.)"""
    return {rung: {name: -reward for name, reward in entered.items()} for rung, entered in rungs._ray_rungs}


def report(rungs: ResumableASHA, name: str, evaluation: int, fid: float, diverged: bool = False) -> str:
    trial: Any = SimpleNamespace(trial_id=f"rays-{next(RAYS)}", config={"trial_id": name})
    rungs._trial_info.setdefault(name, rungs._brackets[0])
    return rungs.on_trial_result(None, trial, {"evaluation": evaluation, "fid": fid, "diverged": diverged})


def test_rungs_and_decisions_are_the_same_after_a_crash(tmp_path: Path) -> None:
    file = tmp_path / "rungs.json"
    before = keeper(file)
    assert report(before, "a", 1, 10.0) == TrialScheduler.CONTINUE
    assert report(before, "b", 1, 99.0) == TrialScheduler.STOP
    assert report(before, "a", 3, 5.0) == TrialScheduler.CONTINUE
    after = keeper(file)
    assert fids(after) == fids(before) == {9.0: {}, 3.0: {"a": 5.0}, 1.0: {"a": 10.0, "b": 99.0}}
    assert report(after, "b", 1, 99.0) == TrialScheduler.STOP  # its worker died before it was stopped
    assert report(after, "a", 1, 10.0) == TrialScheduler.CONTINUE  # told again, as it went on from before
    assert fids(after) == fids(before)
    assert stopped_trials(file) == {"b": 1} and stopped_trials(tmp_path / "none") == {}


def test_the_first_trial_that_waits_is_run_next_as_in_rays_own_schedulers(tmp_path: Path) -> None:
    asha, draw = keeper(tmp_path / "rungs.json"), random.Random(0)
    states = [Trial.PENDING, Trial.PAUSED, Trial.RUNNING, Trial.TERMINATED]
    for _ in range(200):
        asha._places.clear()
        trials: list[Any] = []
        for number in range(draw.randrange(6)):
            config = {"trial_id": f"t{number:04d}"}
            trials.append(SimpleNamespace(trial_id=f"rays-{next(RAYS)}", config=config, status=draw.choice(states)))
            asha.on_trial_add(None, trials[-1])
        live = {id(trial): trial for trial in trials if trial.status != Trial.TERMINATED}.values()
        controller: Any = SimpleNamespace(
            get_trials=lambda found=trials: found,
            get_live_trials=lambda found=live: draw.sample(list(found), len(found)),  # a set has no order
        )
        assert asha.choose_trial_to_run(controller) is FIFOScheduler().choose_trial_to_run(controller)


def test_a_trial_that_was_stopped_enters_no_further_rung_and_a_damaged_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rungs.json"
    rungs = keeper(file)
    report(rungs, "a", 1, 10.0)
    report(rungs, "b", 1, 99.0)
    late: Any = SimpleNamespace(trial_id="rays", config={"trial_id": "b"})
    rungs.on_trial_complete(None, late, {"evaluation": 3, "fid": 1.0})
    assert fids(rungs)[3.0] == {}
    for text in ("", '{"rungs": [', "[]"):
        file.write_text(text)
        for read in (keeper, stopped_trials):
            with pytest.raises(ResultsError, match=r"rungs\.json is damaged"):
                read(file)


def test_a_diverged_trial_is_stopped_and_loosens_no_cutoff(tmp_path: Path) -> None:
    rungs = keeper(tmp_path / "rungs.json")
    assert report(rungs, "a", 1, 1e9, diverged=True) == TrialScheduler.STOP
    assert fids(rungs)[1.0] == {}


def test_a_trial_that_ran_to_its_end_is_not_pruned(tmp_path: Path) -> None:
    file = tmp_path / "rungs.json"
    rungs = keeper(file)
    assert report(rungs, "a", 9, 1.0) == TrialScheduler.STOP
    assert stopped_trials(file) == {}


def test_a_report_that_brings_several_evaluations_is_judged_at_each(tmp_path: Path) -> None:
    """As by a trial whose earlier reports were lost with its process: it is not let off at the first rung."""
    file = tmp_path / "rungs.json"
    rungs = keeper(file)
    report(rungs, "a", 1, 10.0)
    records = [{"evaluation": number, "fid": 99.0 - number, "diverged": False} for number in (1, 2, 3)]
    late: Any = SimpleNamespace(trial_id="rays", config={"trial_id": "b"})
    rungs._trial_info["b"] = rungs._brackets[0]
    told = records[-1] | {"records": json.dumps(records)}
    assert rungs.on_trial_result(None, late, told) == TrialScheduler.STOP
    assert stopped_trials(file) == {"b": 1} and fids(rungs)[3.0] == {}
    # Run again as its log was damaged, it goes to the evaluation at which it was stopped, and no further.
    again = keeper(file)
    again._stopped["b"] = 3
    assert [report(again, "b", number, 98.0) for number in (1, 2, 3)] == ["CONTINUE", "CONTINUE", "STOP"]


def test_rungs_of_earlier_versions_are_read(tmp_path: Path) -> None:
    file = tmp_path / "rungs.json"
    file.write_text('{"rungs": [[9, {}], [3, {"b": -5.0}], [1, {"a": -1.0, "b": -2.0}]], "stopped": ["a", "b"]}')
    assert stopped_trials(file) == {"a": 1, "b": 3}
    before, rungs = file.read_text(), keeper(file)
    assert report(rungs, "c", 1, 0.5) == TrialScheduler.CONTINUE
    assert fids(keeper(file)) == fids(rungs) == {9.0: {}, 3.0: {"b": 5.0}, 1.0: {"a": 1.0, "b": 2.0, "c": 0.5}}
    assert file.read_text().startswith(before) and stopped_trials(file) == {"a": 1, "b": 3}


def test_a_decision_adds_a_line_of_one_trial_however_many_stand_in_the_rungs(tmp_path: Path) -> None:
    file, draw = tmp_path / "rungs.json", random.Random(0)
    rungs, sizes = keeper(file), [0]
    for number in range(200):
        name, evaluation, fid = f"t{number:04d}", 0, draw.uniform(1, 100)
        while evaluation < 9:
            evaluation += 1
            if report(rungs, name, evaluation, fid + draw.random()) == TrialScheduler.STOP:
                break
        ended: Any = SimpleNamespace(config={"trial_id": name})
        rungs.on_trial_complete(None, ended, {"evaluation": 9, "fid": fid})
        sizes.append(file.stat().st_size)
    added = [after - before for before, after in pairwise(sizes)]
    assert 60 < min(added) and max(added) < 500 and not rungs._saved
    lines = read_lines(file)
    assert lines.checked and not lines.damage and 200 <= len(lines.records) <= 3 * 200
    assert fids(keeper(file)) == fids(rungs) and stopped_trials(file) == rungs.rungs.stopped
    file.write_bytes(file.read_bytes().replace(b'"t0007"', b'"t0008"', 1))
    with pytest.raises(ResultsError, match=r"rungs\.json is damaged"):
        keeper(file)


def test_of_a_rung_the_best_fronts_go_on_and_within_one_the_lower_scores(tmp_path: Path) -> None:
    points = {"a": (9.0, 1.0), "b": (5.0, 5.0), "c": (1.0, 9.0), "d": (9.0, 9.0), "e": (6.0, 6.0), "f": (2.0, 9.5)}
    # The front is c, b, a; without it f, e; then d. Of six a third are two, half are three, all but one are five.
    for factor, going in ((3.0, "cb"), (2.0, "cba"), (1.25, "cbafe")):
        assert {name for name in points if goes_past(points, name, factor)} == set(going)
    assert goes_past({"a": (9.0, 9.0)}, "a", 4.0), "the first has nobody to be compared with"


def test_with_pruning_by_the_front_a_cheap_trial_goes_on_and_all_is_kept_over_a_crash(tmp_path: Path) -> None:
    file = tmp_path / "rungs.json"
    two = {"tune.objectives": "fid,macs_g", "tune.prune_by": "front", "tune.reduction_factor": 1.5}
    study = load_study_config("smoke", {"tune.max_evaluations": 9, "tune.grace_evaluations": 3} | two)
    told: list[str] = []
    for name, fid, cost in (("a", 10.0, 50), ("b", 5.0, 90), ("c", 20.0, 20), ("d", 30.0, 60), ("e", 1.0, 10)):
        asha = ResumableASHA(study, file)  # each report to a process of its own
        trial: Any = SimpleNamespace(trial_id=f"rays-{name}", config={"trial_id": name})
        asha.on_trial_add(None, trial)
        assert asha.on_trial_result(None, trial, {"evaluation": 2, "fid": fid, "macs_g": cost}) == "CONTINUE"
        told.append(asha.on_trial_result(None, trial, {"evaluation": 3, "fid": fid, "macs_g": cost}))
    # c scores worse than both before it, and is third of a front of three: of three two go on. d is on no front.
    assert told == ["CONTINUE", "CONTINUE", "STOP", "STOP", "CONTINUE"]
    assert stopped_trials(file) == {"c": 3, "d": 3}
    assert read_rungs(file).entered[3.0] == {"a": (10, 50), "b": (5, 90), "c": (20, 20), "d": (30, 60), "e": (1, 10)}
    late: Any = SimpleNamespace(trial_id="rays", config={"trial_id": "e"})
    assert asha.on_trial_result(None, late, {"evaluation": 9, "fid": 0.5, "macs_g": 10}) == "STOP"
    asha.on_trial_complete(None, late, {"evaluation": 9, "fid": 0.5, "macs_g": 10, "diverged": False})
    assert stopped_trials(file) == {"c": 3, "d": 3}, "it has come to its end"
