"""The lines of a study that runs: on a terminal of 80 columns, and in a file."""

from __future__ import annotations

import os
import pickle
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from autogan_ray.cli import progress
from autogan_ray.cli.progress import Progress, Standing, fitted
from autogan_ray.cli.retrain_text import NetworkProgress
from autogan_ray.cli.run import resolve_study
from autogan_ray.cli.text import clock
from autogan_ray.config.sections import TuneConfig
from autogan_ray.config.study import load_study_config
from autogan_ray.results.retrained import NETWORK_IDS
from autogan_ray.results.trial_log import TrialLogs, name_of
from autogan_ray.retraining.job import Job
from autogan_ray.retraining.race import as_candidate, race_tune
from autogan_ray.spaces.load import load_space
from autogan_ray.study.cost import expected_evaluations, expected_share
from autogan_ray.study.plan import make_plan

RECORD = {"attempt": 0, "diverged": False, "fid_supernet": 475.8, "entropy_g": 0.99, "entropy_d": None}


def logs_of(folder: Path, *trials: tuple[str, list[float]]) -> TrialLogs:
    """Trials by their status and the seconds at which their evaluations ended; scores fall from 100."""
    logs = TrialLogs(folder)
    for number, (status, ends) in enumerate(trials):
        name = name_of(number)
        logs.add(
            name, "trial", number=number, config={"space": "autogan/adversarialnas", "search": {"relaxation": "gumbel"}}
        )
        for evaluation, wall_s in enumerate(ends, start=1):
            logs.add(
                name,
                "evaluation",
                record=RECORD | {"evaluation": evaluation, "wall_s": wall_s, "fid": 100.0 - evaluation},
            )
        logs.add(name, "status", status=status)
    return logs


def told(logs: TrialLogs, gpus: int = 0, kind: str = "evaluation") -> dict[str, Any]:
    log = logs.get("t0000")
    return {"kind": kind, "trial": log, "logs": logs, "record": log.records[-1], "status": log.state}


@pytest.fixture
def show(tmp_path: Path) -> Progress:
    plan = make_plan(resolve_study("smoke", 0, overrides=["tune.scheduler=none"]), tmp_path, 0, cpus=2)
    return pickle.loads(pickle.dumps(Progress(plan)))  # as Ray copies it


def test_a_file_gets_whole_lines_without_a_bar(
    show: Progress, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show(told(logs_of(tmp_path, ("running", [10.0, 20.0]))))
    show(told(logs_of(tmp_path, ("complete", [10.0, 20.0, 30.0])), kind="end"))
    one, two = capsys.readouterr().out.splitlines()
    assert one.removeprefix("[0:00] ") == (
        "t0000 evaluation 2: FD (classifier) 98 (supernet 475.8)  autogan/adversarialnas gumbel entropy 0.99/-  "
        "best 98 (t0000), about 0:30 left"
    )
    assert two.removeprefix("[0:00] ") == "t0000 complete   1/2 trials done, best 97 (t0000), about 0:30 left"


@pytest.mark.parametrize(("columns", "kept"), [(60, "best"), (80, "left"), (200, "gumbel")])
def test_a_line_fits_the_terminal_and_a_bar_stands_below_it(
    columns: int, kept: str, show: Progress, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(progress.shutil, "get_terminal_size", lambda: os.terminal_size((columns, 24)))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    show(told(logs_of(tmp_path, ("running", [10.0, 20.0]))))
    line, below = capsys.readouterr().out.replace("\r", "").replace("\x1b[K", "").split("\n")
    assert len(line) <= columns and kept in line and "t0000 evaluation 2:" in line
    assert below == "[##########--------------------] 33%  0/2 trials, 1 running, 0:30 left"[:columns]


def test_what_matters_least_goes_first_and_what_matters_stays() -> None:
    parts = [(0, "lead"), (5, " five"), (1, " one"), (5, " five again")]
    assert fitted(parts, None) == "lead five one five again" and fitted(parts, 8) == "lead one"
    assert fitted(parts, 3) == "lead"


def test_gpu_hours_are_told_where_trials_have_gpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = make_plan(resolve_study("smoke", 2, gpus_per_trial=0.5), tmp_path, 2, cpus=2)
    logs = logs_of(tmp_path, ("running", [3600.0]), ("pruned", [7200.0]))
    Progress(plan)(told(logs))
    assert ", 1.5 GPU hours" in capsys.readouterr().out


def test_evaluations_to_come_are_those_that_asha_is_expected_to_leave() -> None:
    every, asha = TuneConfig(scheduler="none"), TuneConfig(num_trials=16)
    assert [expected_evaluations(every, done) for done in (0, 4, 10)] == [10, 6, 0]
    assert 16 * expected_evaluations(asha, 0) == pytest.approx(expected_share(asha) * 160)
    assert expected_evaluations(asha, 0) < expected_evaluations(asha, asha.grace) + asha.grace <= 10
    assert expected_evaluations(asha, 10) == 0


def test_the_time_left_is_by_each_trials_own_pace_and_the_slots(tmp_path: Path) -> None:
    tune = TuneConfig(num_trials=3, max_evaluations=4, scheduler="none")

    def standing(place: str, *trials: tuple[str, list[float]], slots: int = 1) -> Standing:
        found = Standing(tune, slots)
        found.update(logs_of(tmp_path / place, *trials))
        return found

    complete = ("complete", [1.0, 2.0, 3.0, 4.0])
    one, two = (standing("a", complete, ("running", [3.0, 6.0]), slots=slots) for slots in (1, 2))
    assert one.seconds_left() == 2 * 3.0 + 4 * 2.0
    assert two.seconds_left() == 8.0  # the longest of them
    stopped = standing("stopped", ("interrupted", [3.0, 6.0]))  # it goes on in a later run
    assert stopped.seconds_left() == 10 * 3.0 and " 0/3 trials" in stopped.bar()
    assert Standing(tune, 1).seconds_left() is None
    done = standing("done", *[complete] * 3)
    assert done.seconds_left() is None and done.bar().startswith(f"[{'#' * 30}] 100%  3/3 trials")


def test_what_is_told_of_one_trial_at_a_time_is_what_is_told_of_all_at_once(tmp_path: Path) -> None:
    tune, logs = TuneConfig(num_trials=5, max_evaluations=4), TrialLogs(tmp_path)
    followed, rng = Standing(tune, 2), random.Random(0)
    for step in range(60):
        name = name_of(rng.randrange(4))
        count = len(logs.get(name).evaluations)
        if rng.random() < 0.3 or count == 4:
            logs.add(name, "status", status=rng.choice(["running", "complete", "pruned", "error", "interrupted"]))
        else:
            score = {"evaluation": count + 1, "wall_s": float(count + rng.random()), "fid": rng.random()}
            logs.add(name, "evaluation", record=RECORD | score)
        followed.update([logs.get(name)])
        at_once = Standing(tune, 2)
        at_once.update(logs)
        assert followed.bar() == at_once.bar() and followed.ended == at_once.ended, step
        assert followed.seconds_left() == pytest.approx(at_once.seconds_left())
        assert followed.spent_s == pytest.approx(at_once.spent_s) and followed.best == at_once.best


def network(draw: int) -> Job:
    space, study = load_space("adversarialnas"), load_study_config("digits")
    return Job("random", f"random {draw}", space.random(8, draw), space, 0, None, {}, study, Path("absent"))


@pytest.mark.parametrize("columns", [None, 80])
def test_a_race_says_how_far_it_is_and_how_long_it_goes_on(
    columns: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress.shutil, "get_terminal_size", lambda: os.terminal_size((columns or 1, 24)))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: columns is not None)
    jobs = [as_candidate(network(draw), "random") for draw in range(3)]
    logs = TrialLogs(tmp_path, NETWORK_IDS)
    logs.add(jobs[0].evaluation_id, "status", status="running")
    logs.add("random-of-another-call", "evaluation", record=RECORD | {"evaluation": 1, "wall_s": 1e6, "fid": 1.0})
    show = pickle.loads(pickle.dumps(NetworkProgress(jobs, 2)))
    for evaluation, fid in enumerate((90.0, 45.6789), start=1):
        record = RECORD | {"evaluation": evaluation, "kimg": 2.0 * evaluation, "wall_s": 10.0 * evaluation, "fid": fid}
        log = logs.add(jobs[0].evaluation_id, "evaluation", record=record)
        show({"kind": "evaluation", "trial": log, "logs": logs, "record": record})
    logs.add(jobs[0].evaluation_id, "status", status="pruned")
    show({"kind": "end", "trial": log, "logs": logs, "status": "pruned"})
    show.end()
    # The two to come run side by side, each for as many evaluations of 10 s as ASHA is expected to leave it.
    left = f"{clock(10 * expected_evaluations(race_tune(jobs[0].study, 3), 0))} left"
    told = capsys.readouterr().out.replace("\r", "").replace("\x1b[K", "\n").splitlines()
    _, scored, ended = lines = [line for line in told if line.startswith("  [0:00] random 0")]
    assert ", seed 0, 4 of 16 kimg: 45.68" in scored and ": stopped by ASHA, best score 45.68" in ended
    if columns is None:
        assert told == lines and ended.endswith(f", 1/3 networks done, about {left}")
    else:
        assert told[-1].endswith(f"] 17%  1/3 networks, 0 running, {left}") and max(map(len, told)) <= columns


def test_trainings_to_the_end_are_expected_to_come_to_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs, logs = [network(draw) for draw in range(2)], TrialLogs(tmp_path, NETWORK_IDS)
    assert jobs[0].study.retrain.evaluations == 4
    logs.add(jobs[1].evaluation_id, "status", status="running")
    record = RECORD | {"evaluation": 1, "kimg": 4.0, "wall_s": 10.0, "fid": 3.0}
    log = logs.add(jobs[1].evaluation_id, "evaluation", record=record)
    NetworkProgress(jobs, 1)({"kind": "evaluation", "trial": log, "logs": logs, "record": record})
    assert capsys.readouterr().out.endswith(", seed 0, 4 of 16 kimg: 3, about 1:10 left\n")
