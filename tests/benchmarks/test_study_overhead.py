"""The account of a study's time: a study made up by hand, whose every second is known."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pandas as pd
import pytest
import study_overhead

from autogan_ray.cli import main as cli
from autogan_ray.tune import cluster, runner

REST = click.Argument(["rest"], nargs=-1, type=click.UNPROCESSED)
START = 1_700_000_000.0


def at(seconds: float) -> pd.Timestamp:
    return pd.Timestamp(START + seconds, unit="s", tz="UTC")


def trial(name: str, started: float, ends: list[float], train: float, evaluate: float) -> tuple[dict, list[dict]]:
    """1 kimg and one evaluation up to each of ``ends``."""
    row = {"trial_id": name, "started_at": at(started), "restarts": 0}
    return row, [
        {
            "trial_id": name,
            "evaluation": number,
            "kimg": float(number),
            "images_per_s": 1000 / train,
            "eval_s": evaluate,
            "timestamp": at(end),
        }
        for number, end in enumerate(ends, 1)
    ]


def study(restarts: int = 0) -> study_overhead.Account:
    """Two slots for 60 s. t0: 10 to 40; t1: 12 to 24; t2 after 3 s of waiting on the second slot: 27 to 54."""
    made = [
        trial("t0", 10, [25, 40], train=9, evaluate=3),  # starts in 3 s, 3 s are lost between its evaluations
        trial("t1", 12, [24], train=8, evaluate=2),  # 2 s
        trial("t2", 27, [54], train=20, evaluate=6),  # 1 s
    ]
    trials = pd.DataFrame([row for row, _ in made])
    trials.loc[0, "restarts"] = restarts
    history = pd.DataFrame([line for _, lines in made for line in lines]).sample(frac=1, random_state=0)
    return study_overhead.account(trials, history, pd.Series({"created_at": at(0), "finished_at": at(60)}), 2)


def test_every_second_of_a_slot_is_counted_once() -> None:
    found = study()
    assert (found.training, found.evaluation) == pytest.approx((18 + 8 + 20, 6 + 2 + 6))
    assert found.start_of_trials == pytest.approx(3 + 2 + 1)
    assert (found.head, found.tail) == pytest.approx((20, 12))
    assert found.between_trials == pytest.approx((12 - 10) + (27 - 24))
    assert found.idle_at_the_end == pytest.approx(54 - 40)
    assert found.rest == pytest.approx(3)
    shares = found.shares()
    assert shares["overhead"] == pytest.approx(1 - 60 / 120)
    assert shares["overhead_without_idle_end"] == pytest.approx(1 - 60 / 120 - 14 / 120)
    parts = ("training", "evaluation", "start_of_trials", "between_trials", "head", "tail", "idle_at_the_end", "rest")
    assert sum(shares[part] for part in parts) == pytest.approx(1)


def test_what_lies_around_a_study_is_head_and_tail() -> None:
    made = study()
    trials, history = trial("t0", 10, [30], train=15, evaluate=4)
    found = study_overhead.account(
        pd.DataFrame([trials]), pd.DataFrame(history), pd.Series(dtype=object), 1, (START, START + 50)
    )
    assert (found.head, found.tail, found.start_of_trials, found.between_trials) == pytest.approx((10, 20, 1, 0))
    assert made.driver_cpu_s is None and "driver_cpu_of_wall" not in made.shares()


def test_a_study_that_repeated_work_is_refused() -> None:
    with pytest.raises(ValueError, match="without restarts"):
        study(restarts=1)


@pytest.mark.parametrize("given", [[], ["folder", "--run", "digits"], ["folder", "--", "--seed", "1"]])
def test_neither_or_both_of_folder_and_study_is_a_mistake(given: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        study_overhead.main(given)
    assert ended.value.code == 2


def test_what_follows_two_dashes_goes_to_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(study: str, out: Path, more: list[str], begin: float) -> None:
        asked.append([study, *more])
        raise KeyboardInterrupt

    monkeypatch.setattr(study_overhead, "run", run)
    with pytest.raises(KeyboardInterrupt):
        study_overhead.main(["--run", "digits", "--slots", "2", "--", "--seed", "1", "--name", "other"])
    assert asked == [["digits", "--seed", "1", "--name", "other"]]


def command(does: Callable[..., None]) -> click.Command:
    """A command that takes anything."""
    return click.Command("run", callback=does, params=[REST], context_settings={"ignore_unknown_options": True})


class Clocks:
    """The module's name for time: processor clocks that only ``burn`` moves, the process's by all its threads' work."""

    def __init__(self) -> None:
        self.process = self.thread = 100.0
        self.time = time.time

    def burn(self, seconds: float, elsewhere: float = 0.0) -> None:
        """``elsewhere``: what other threads burn meanwhile."""
        self.thread += seconds
        self.process += seconds + elsewhere

    def process_time(self) -> float:
        return self.process

    def thread_time(self) -> float:
        return self.thread


def test_the_driver_s_work_is_told_apart_from_its_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks()

    def work() -> None:
        clocks.burn(0.25, elsewhere=0.125)

    def imports() -> None:
        clocks.burn(0.5, elsewhere=2.0)

    def both(**_: Any) -> None:
        cluster.import_ahead()
        clocks.burn(1.0)  # what stands between them is neither
        runner.run_study()

    monkeypatch.setattr(study_overhead, "time", clocks)
    monkeypatch.setattr(runner, "run_study", work)
    monkeypatch.setattr(cluster, "import_ahead", imports)
    monkeypatch.setattr(cli, "main", command(both))
    begin = time.time()
    around, spent = study_overhead.run("digits", Path("here"), ["--seed", "1"], begin)
    assert around[0] == begin <= around[1]
    assert spent == {"driver_cpu_s": 0.375, "driver_imports_cpu_s": 0.5}
    assert runner.run_study is work and cluster.import_ahead is imports
    shares = replace(study(), **spent).shares()
    assert shares["driver_cpu_of_wall"] == spent["driver_cpu_s"] / 60


def test_a_command_that_ran_no_study_has_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "main", command(lambda **_: None))
    with pytest.raises(SystemExit, match="ran no study"):
        study_overhead.run("digits", Path("here"), [], time.time())
