"""How the driver of a study copes with thousands of trials: its time, its memory, its tables.

The driver, Ray, ASHA, Optuna, logs and tables are the real ones, on eight declared GPUs in a cluster on this machine.
Only the trials are stand-ins: each sends the reports of a recorded one, whose scores are changed at random and whose
genotypes are drawn anew, as fast as the driver takes them::

    autogan-ray run digits --out results/whole --set tune.scheduler=none
    python benchmarks/scale.py results/whole/digits --trials 100 1000 5000 --out results/scale

Every size is a study of its own in a process of its own, which is then resumed with one trial more. A study of
sixteen trials goes before it, so that what a driver takes once, whatever follows, is not counted with the first trials.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

Records = Sequence[Mapping[str, Any]]

GPUS = 8
SPREAD = 0.3
"""Standard deviation of the factor, on the log scale, by which a trial's scores differ from the recorded ones."""


@dataclass(frozen=True)
class Cost:
    """What a study of stand-ins took.

    ``wall_s`` is of the run alone, from the moment that Ray stands; ``driver_cpu_s`` are the driver's processor seconds
    in it. ``memory_mib`` is what the driver grew by at most, ``tables_s`` the time in which the tables are built anew
    from the logs of all trials, and ``resume_s`` of ``--resume`` with one trial more, in a cluster that is there, from
    its start to its end.
    """

    trials: int
    evaluations: int
    wall_s: float
    driver_cpu_s: float
    memory_mib: float
    tables_s: float
    tables_mib: float
    disk_mib: float
    resume_s: float


def recorded(study: Path) -> dict[str, list[Records]]:
    """Returns space -> the records of its whole trials."""
    from autogan_ray.results.trial_log import TrialLogs

    whole: dict[str, list[Records]] = {}
    logs = TrialLogs(study)
    for log in logs:
        if log.state == "complete":
            whole.setdefault(log.about["config"]["space"], []).append(logs.whole(log.trial_id).records)
    return whole


def stand_in(curves: Path, picture: bytes) -> Callable[[dict[str, Any], Any], None]:
    """Returns a function trainable that sends the reports of a recorded trial of the space that was proposed.

    Args:
        curves: file of what :func:`recorded` returns. (As part of the function, Ray would read it at each trial's
            start.)
        picture: a PNG that is sent with each report, as trials do.
    """
    known: dict[str, list[Records]] = {}

    def replay(config: dict[str, Any], inputs: Any) -> None:
        from ray import tune

        from autogan_ray.spaces.space import SearchSpace
        from autogan_ray.training.checkpoint import save_state

        if not known:
            known.update(json.loads(curves.read_text()))
        rng = random.Random(config["number"])
        candidates = known.get(json.loads(config["trial"])["space"]) or next(iter(known.values()))
        records, factor = rng.choice(candidates), math.exp(rng.gauss(0, SPREAD))
        space = SearchSpace.from_dict(inputs.spaces[records[0]["genotype"]["space"]])
        for record in records:
            genotype = space.random(inputs.measure.data.image_size, rng.getrandbits(32))
            sent = dict(record) | {"fid": record["fid"] * factor, "timestamp": time.time(), "attempt": 0}
            sent |= {"genotype": genotype.to_dict(), "genotype_id": genotype.genotype_id}
            metrics = {key: sent[key] for key in ("fid", "evaluation", "diverged", "kimg")}
            metrics |= {"records": json.dumps([sent]), "lines": "[]"}
            metrics["grids"] = json.dumps({record["evaluation"]: b64encode(picture).decode("ascii")})
            if record["evaluation"] not in (1, len(records)):
                tune.report(metrics)
                continue
            with tempfile.TemporaryDirectory() as folder:
                save_state(Path(folder), {"loop": {}, "records": json.dumps([sent]), "spent_s": 0.0, "attempt": 0})
                tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))

    return replay


def run(history: Path, trials: int, out: Path, overrides: Sequence[str] = ()) -> Cost:
    """Runs a study of stand-ins in this process.

    Args:
        overrides: settings, as ``--set`` of ``autogan-ray run`` takes them.
    """
    os.environ.update(_environment())
    import psutil
    from click.testing import CliRunner
    from ray.cluster_utils import Cluster

    from autogan_ray.cli.main import main as command
    from autogan_ray.results.tables import Tables
    from autogan_ray.results.trial_log import TrialLogs
    from autogan_ray.study.study_file import read_about
    from autogan_ray.tune import runner, trainable

    me, spent = psutil.Process(), dict[str, float]()
    out.mkdir(parents=True)
    curves = out.resolve() / "curves.json"
    curves.write_text(json.dumps(recorded(history)))
    replay = stand_in(curves, (history / "reals.png").read_bytes())

    def measured(*given: Any) -> Any:
        before = time.monotonic(), time.process_time(), me.memory_info().rss
        outcome = fit(*given)
        spent["wall_s"] = time.monotonic() - before[0]
        spent["driver_cpu_s"] = time.process_time() - before[1]
        spent["memory_mib"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before[2]) / 2**20
        return outcome

    fit = runner.run_study
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": GPUS, "num_gpus": GPUS, "include_dashboard": False}
    )
    changes = [word for override in overrides for word in ("--set", override)]
    typed = ["run", "digits", *changes, "--gpus", str(GPUS), "--address", cluster.address]
    with (
        patch.object(trainable, "run_trial", replay),
        patch.object(runner, "_reused", lambda plan: True),  # or each trial costs the imports of a new process
        patch.object(runner, "run_study", measured),
    ):
        ended = [CliRunner().invoke(command, [*typed, "--out", str(out / "before"), "--trials", "16"])]
        typed += ["--out", str(out)]
        ended.append(CliRunner().invoke(command, [*typed, "--trials", str(trials)]))
        study = out / "digits"
        first, size = dict(spent), sizes(study)
        before = time.monotonic()
        Tables(study).write(read_about(study), TrialLogs(study))
        first["tables_s"] = time.monotonic() - before
        before = time.monotonic()
        ended.append(CliRunner().invoke(command, [*typed, "--trials", str(trials + 1), "--resume"]))
        first["resume_s"] = time.monotonic() - before
    cluster.shutdown()
    for one in ended:
        if one.exit_code:
            raise SystemExit(f"{one.output}\n{one.exception!r}")
    return Cost(trials=trials, **size, **first)


def sizes(study: Path) -> dict[str, Any]:
    """Returns what a study of stand-ins came to: fields of :class:`Cost`."""
    everything = [file for file in study.rglob("*") if file.is_file()]
    tables = [file for file in everything if file.suffix == ".parquet"]
    return {
        "evaluations": json.loads((study / "study.json").read_text())["evaluations"],
        "tables_mib": sum(file.stat().st_size for file in tables) / 2**20,
        "disk_mib": sum(file.stat().st_size for file in everything) / 2**20,
    }


def _environment() -> dict[str, str]:
    from autogan_ray.tune.cluster import ENVIRONMENT

    return {**ENVIRONMENT, "OMP_NUM_THREADS": "1"}


def text(costs: Sequence[Cost]) -> str:
    """Returns a row for each study, and by which power of the number of trials each cost grew from one to the next."""
    rows = [["trials", "trials/s", "driver ms/trial", "KiB/trial", "tables s", "disk KiB/trial", "resume s"]]
    for cost in costs:
        per = [1e3 * cost.driver_cpu_s, 1024 * cost.memory_mib, cost.tables_s, 1024 * cost.disk_mib]
        shown = [cost.trials / cost.wall_s, per[0] / cost.trials, per[1] / cost.trials, per[2], per[3] / cost.trials]
        rows.append([str(cost.trials), *(f"{value:.3g}" for value in [*shown, cost.resume_s])])
    for one, other in pairwise(costs):
        grown = [
            math.log(getattr(other, name) / getattr(one, name)) / math.log(other.trials / one.trials)
            for name in ("wall_s", "driver_cpu_s", "memory_mib", "tables_s", "disk_mib", "resume_s")
        ]
        rows.append([f"{one.trials}-{other.trials}", *(f"^{power:.2f}" for power in grown)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("history", type=Path, help="folder of a digits study whose trials ran to their end")
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--set", metavar="KEY=VALUE", dest="overrides", action="append", default=[], help="as in run")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.here:
        print(json.dumps(asdict(run(asked.history, asked.trials[0], asked.out, asked.overrides))))
        return 0
    costs: list[Cost] = []
    for trials in asked.trials:
        typed = [sys.executable, __file__, str(asked.history), "--trials", str(trials), "--here"]
        typed += [word for override in asked.overrides for word in ("--set", override)]
        done = subprocess.run([*typed, "--out", str(asked.out / str(trials))], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            return done.returncode
        costs.append(Cost(**json.loads(done.stdout.splitlines()[-1])))
    (asked.out / "scale.json").write_text(json.dumps([asdict(cost) for cost in costs], indent=2) + "\n")
    print(text(costs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
