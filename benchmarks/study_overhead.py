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
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

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

    @property
    def total(self) -> float:
        return self.wall_s * self.slots

    def shares(self) -> dict[str, float]:
        """0 to 1, of all slot seconds; ``overhead`` is all but training and evaluation."""
        names = ("training", "evaluation", "start_of_trials", "between_trials", "head", "tail", "idle_at_the_end")
        found = {name: getattr(self, name) / self.total for name in (*names, "rest")}
        found["overhead"] = 1 - found["training"] - found["evaluation"]
        found["overhead_without_idle_end"] = found["overhead"] - found["idle_at_the_end"]
        if self.driver_cpu_s is not None and self.driver_imports_cpu_s is not None:
            found["driver_cpu_of_wall"] = self.driver_cpu_s / self.wall_s
            found["driver_imports_cpu_of_wall"] = self.driver_imports_cpu_s / self.wall_s
        return found


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
    idle = float(sum(last.max() - one for one in sorted(last)[-slots:]))
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
    from autogan_ray.study.plan import slots_of

    tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("trials", "history", "studies")}
    study = tables["studies"].iloc[0]
    config = StudyConfig.parse(json.loads(study["config_json"]), str(folder), ConfigError)
    slots = slots or slots_of(config, int(study["gpus"]), os.cpu_count() or 1)
    return account(tables["trials"], tables["history"], study, slots, around)


def run(study: str, out: Path, more: Sequence[str], begin: float) -> tuple[tuple[float, float], dict[str, float]]:
    """Run a study in this process: when it began and ended, and its driver's fields of :class:`Account`.

    The driver is what stands between Ray's start and its end: proposals, decisions, tables, waiting.
    """
    from click.testing import CliRunner

    from autogan_ray.cli.main import main as command
    from autogan_ray.tune import cluster, runner

    spent: dict[str, float] = {}
    work, imports = runner.run_study, cluster.import_ahead

    def measured_work(*arguments: Any) -> Any:
        before = time.process_time()
        try:
            return work(*arguments)
        finally:
            spent["driver_cpu_s"] = time.process_time() - before

    def measured_imports() -> None:
        before = time.thread_time()
        imports()
        spent["driver_imports_cpu_s"] = time.thread_time() - before

    runner.run_study, cluster.import_ahead = measured_work, measured_imports
    try:
        found = CliRunner().invoke(command, ["run", study, "--out", str(out), *more])
    finally:
        runner.run_study, cluster.import_ahead = work, imports
    if found.exit_code:
        raise SystemExit(f"{found.output}\n{found.exception!r}")
    if "driver_cpu_s" not in spent:
        raise SystemExit(f"{found.output}\nthe command ran no study")
    return (begin, time.time()), spent


def text(found: Account) -> str:
    lines = [f"{found.wall_s:.1f} s on {found.slots} slots"]
    lines += [f"{name.replace('_', ' '):<28}{share:>7.1%}" for name, share in found.shares().items()]
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
        around, spent = run(asked.run, asked.out, more, begin)
        folder = max(asked.out.glob("*/study.json"), key=lambda file: file.stat().st_mtime).parent
        found = replace(of_folder(folder, asked.slots, around), **spent)
    else:
        found = of_folder(asked.results, asked.slots)
    print(json.dumps(asdict(found) | {"shares": found.shares()}, indent=2) if asked.json else text(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
