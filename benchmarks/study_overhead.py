"""Where a study's time went: training, evaluation, and all that is neither, in seconds of a slot.

    python benchmarks/study_overhead.py results/digits           # of a study that is there, from its tables
    python benchmarks/study_overhead.py --run digits --out DIR   # runs it first: counts what lies outside the tables
    python benchmarks/study_overhead.py --run digits --out DIR -- --seed 1 --name other   # more for autogan-ray run

A slot is one trial's place; a study of W seconds on S slots has W x S slot seconds, and each is counted once:

* training, evaluation: what trials spent on steps and on scoring;
* start of trials: from the moment a trial is given a process until its first step (building, a first import);
* between trials: slots that wait for a next trial or its process;
* head and tail: before the first trial starts and after the last has ended (with ``--run`` from the command's start
  to its end: imports, data, metric, Ray);
* idle at the end: slots that are free because no trial is left to start, while another still runs;
* the rest: checkpoints, reports, decisions.

Trials that were resumed repeat work, so a study with restarts is refused.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd


@dataclass(frozen=True)
class Account:
    """All in slot seconds but ``wall_s``.

    ``driver_cpu_s``: processor seconds of the driver's work; ``driver_imports_cpu_s``: of importing torch, Ray Tune and
    Optuna while Ray starts, the same for a study of minutes and one of days. None where the study was not run here.
    """

    wall_s: float
    slots: int
    training: float
    evaluation: float
    start_of_trials: float
    between_trials: float
    head: float
    tail: float
    idle_at_the_end: float
    rest: float
    driver_cpu_s: float | None = None
    driver_imports_cpu_s: float | None = None

    def shares(self) -> dict[str, float]:
        """0 to 1, of all slot seconds; ``overhead`` is all but training and evaluation."""
        names = ("training", "evaluation", "start_of_trials", "between_trials", "head", "tail", "idle_at_the_end")
        shares = {name: getattr(self, name) / (self.wall_s * self.slots) for name in (*names, "rest")}
        shares["overhead"] = 1 - shares["training"] - shares["evaluation"]
        shares["overhead_without_idle_end"] = shares["overhead"] - shares["idle_at_the_end"]
        if self.driver_cpu_s is not None and self.driver_imports_cpu_s is not None:
            shares["driver_cpu_of_wall"] = self.driver_cpu_s / self.wall_s
            shares["driver_imports_cpu_of_wall"] = self.driver_imports_cpu_s / self.wall_s
        return shares


def account(
    trials: pd.DataFrame, history: pd.DataFrame, study: pd.Series, slots: int, around: tuple[float, float] | None = None
) -> Account:
    """From the tables ``trials``, ``history`` and the row of ``studies``.

    Args:
        around: seconds since 1970 at which the command began and ended; None takes the study's own.

    Raises ValueError for a study that was resumed or has no evaluation.
    """
    if history.empty or trials["restarts"].sum():
        raise ValueError("a study with an evaluation and without restarts is wanted: repeated work stands in no table")
    history = history.sort_values(["trial_id", "evaluation"])
    images = history.groupby("trial_id")["kimg"].diff().fillna(history["kimg"]) * 1000
    history = history.assign(train_s=images / history["images_per_s"], at=history["timestamp"].map(_seconds))
    by = history.groupby("trial_id")
    first, last = by.first(), by["at"].last()
    started = trials.set_index("trial_id")["started_at"].map(_seconds).reindex(last.index)
    begin, end = around or (_seconds(study["created_at"]), _seconds(study["finished_at"]))
    training, evaluation = float(history["train_s"].sum()), float(history["eval_s"].sum())
    starts = float((first["at"] - first["train_s"] - first["eval_s"] - started).sum())
    occupied = float((last - started).sum())
    head, tail = slots * (started.min() - begin), slots * (end - last.max())
    # Of each slot's last trial: from its end to the end of the last of all.
    idle = float((last.max() - last.nlargest(slots)).sum())
    return Account(
        wall_s=end - begin,
        slots=slots,
        training=training,
        evaluation=evaluation,
        start_of_trials=starts,
        between_trials=(end - begin) * slots - occupied - head - tail - idle,
        head=float(head),
        tail=float(tail),
        idle_at_the_end=idle,
        rest=occupied - training - evaluation - starts,
    )


def _seconds(moment: pd.Timestamp) -> float:
    return moment.timestamp()


def of_folder(folder: Path, slots: int | None, around: tuple[float, float] | None = None) -> Account:
    """The account of a study's folder; ``slots`` None: as many as this machine gives it."""
    from autogan_ray.base.errors import ConfigError
    from autogan_ray.config.study import StudyConfig
    from autogan_ray.results.study import load_study
    from autogan_ray.study.plan import slots_of

    study = load_study(folder)
    row, config = study.studies.iloc[0], StudyConfig.parse(study.config, str(folder), ConfigError)
    slots = slots or slots_of(config, int(row["gpus"]), os.cpu_count() or 1)
    return account(study.trials, study.history, row, slots, around)


def run(study: str, out: Path, more: Sequence[str], begin: float) -> tuple[tuple[float, float], dict[str, float]]:
    """Run a study in this process: when it began and ended, and its driver's fields of :class:`Account`.

    The driver is what stands between Ray's start and its end: proposals, decisions, tables, waiting.
    """
    from click.testing import CliRunner

    from autogan_ray.cli.main import main as command
    from autogan_ray.tune import cluster, runner

    spent: dict[str, float] = {}

    def timed(function: Callable[..., Any], clock: Callable[[], float], name: str) -> Callable[..., Any]:
        def wrapper(*arguments: Any) -> Any:
            before = clock()
            try:
                return function(*arguments)
            finally:
                spent[name] = clock() - before

        return wrapper

    work = timed(runner.run_study, time.process_time, "driver_cpu_s")
    imports = timed(cluster.import_ahead, time.thread_time, "driver_imports_cpu_s")
    with patch.object(runner, "run_study", work), patch.object(cluster, "import_ahead", imports):
        ended = CliRunner().invoke(command, ["run", study, "--out", str(out), *more])
    if ended.exit_code:
        raise SystemExit(f"{ended.output}\n{ended.exception!r}")
    if "driver_cpu_s" not in spent:
        raise SystemExit(f"{ended.output}\nthe command ran no study")
    return (begin, time.time()), spent


def text(spent: Account) -> str:
    lines = [f"{spent.wall_s:.1f} s on {spent.slots} slots"]
    lines += [f"{name.replace('_', ' '):<28}{share:>7.1%}" for name, share in spent.shares().items()]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    begin = time.time()
    parser = argparse.ArgumentParser(description="Where a study's time went.")
    parser.add_argument("results", nargs="?", type=Path, help="folder of a finished study")
    parser.add_argument("--run", metavar="STUDY", help="run this study first")
    parser.add_argument("--out", type=Path, default=Path("results"), help="with --run: where its folder is made")
    parser.add_argument("--slots", type=int, help="trials side by side (default: what this machine gives the study)")
    parser.add_argument("--json", action="store_true")
    given = list(sys.argv[1:] if arguments is None else arguments)
    cut = given.index("--") if "--" in given else len(given)
    asked, more = parser.parse_args(given[:cut]), given[cut + 1 :]
    if (asked.results is None) == (asked.run is None) or (more and not asked.run):
        parser.error("give a study's folder, or --run STUDY and after -- further arguments of autogan-ray run")
    if asked.run:
        around, driver = run(asked.run, asked.out, more, begin)
        folder = max(asked.out.glob("*/study.json"), key=lambda file: file.stat().st_mtime).parent
        spent = replace(of_folder(folder, asked.slots, around), **driver)
    else:
        spent = of_folder(asked.results, asked.slots)
    print(json.dumps(asdict(spent) | {"shares": spent.shares()}, indent=2) if asked.json else text(spent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
