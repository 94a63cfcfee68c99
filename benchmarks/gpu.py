"""Everything that a GPU was wanted for, in one command that fits into minutes and may be cut off at any moment.

    python benchmarks/gpu.py --out DIR --budget 540 --cifar cifar10-10000.parquet
    python benchmarks/gpu.py --resume DIR
    python benchmarks/gpu.py --toy --out DIR
    python benchmarks/gpu.py --write-docs DIR

Stages run in the order of their worth (--list), each with its share of the budget. What a stage does not use, later
ones get. A stage measures its first repetition and plans the others by it; what does not fit is left out and says why.
Each figure is a line of DIR/results.jsonl and on the disk before the next is measured. --resume goes on with the stages
that are missing, and within a stage with the parts that are. Needs torch, numpy, pandas, pyarrow, pydantic, scipy,
scikit-learn and safetensors; the last two stages also torch-fidelity. docs/gpu.md says how it is run elsewhere.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]  # a copy that is not installed is measured all the same

from gpu_stages import device, evaluation, packed, quality, retrain_step, search_step  # noqa: E402
from gpu_stages.budget import shared  # noqa: E402
from gpu_stages.children import Stopped, Worker  # noqa: E402
from gpu_stages.results import BEGIN, FILE, Results, read_lines  # noqa: E402
from gpu_stages.run import Run, Stage  # noqa: E402
from gpu_stages.sizes import PUBLISHED, TOY, Sizes  # noqa: E402
from gpu_stages.table import report, write_docs  # noqa: E402

from autogan_ray.base.errors import UserError, nearest  # noqa: E402
from autogan_ray.base.provenance import git_commit  # noqa: E402

FIDELITY = ("torch_fidelity",)
STAGES = (
    Stage(device.NAME, "rates of the device; the tests that need a GPU", 40.0, 12.0, device.stage),
    Stage(
        search_step.NAME, "an iteration of a search in each form; a full search from it", 150.0, 22.0, search_step.stage
    ),
    Stage(retrain_step.NAME, "an iteration of retraining in each form", 45.0, 8.0, retrain_step.stage),
    Stage(packed.NAME, "small searches side by side on one device", 40.0, 18.0, packed.stage),
    Stage(
        quality.NAME,
        "a search, its genotype retrained beside a published and a random one",
        225.0,
        32.0,
        quality.stage,
        FIDELITY,
        quality.early,
    ),
    Stage(evaluation.NAME, "images through Inception's form, and the distance", 25.0, 8.0, evaluation.stage, FIDELITY),
)
NAMES = [stage.name for stage in STAGES]
BUDGET_S, TOY_BUDGET_S, LEAST_BUDGET_S = 540.0, 110.0, 30.0
DOCS = ROOT / "docs" / "gpu.md"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    place = made.add_mutually_exclusive_group()
    place.add_argument("--out", type=Path, metavar="DIR", help="a folder for new results")
    place.add_argument("--resume", type=Path, metavar="DIR", help="go on with what results in DIR lack")
    place.add_argument("--list", action="store_true", help="show the stages and their seconds, and stop")
    place.add_argument("--write-docs", type=Path, metavar="DIR", help="put the figures in DIR into docs/gpu.md")
    made.add_argument("--budget", type=float, metavar="S", help="seconds for it all (540; 110 with --toy)")
    made.add_argument("--stage", action="append", metavar="NAME", help="run this stage alone; repeatable")
    made.add_argument("--toy", action="store_true", help="toy sizes on the CPU, to try the command")
    made.add_argument("--cifar", type=Path, metavar="FILE", help="Parquet of CIFAR-10: columns image (bytes), label")
    made.add_argument("--commit", help="of the code, where it runs from a copy that git does not know")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    begin = time.monotonic()
    made = parser()
    given = made.parse_args(arguments)
    try:
        if given.write_docs is not None:
            count = write_docs(DOCS, read_lines(_file(given.write_docs)), NAMES)
            print(f"{count} rows written to {DOCS}")
            return 0
        sizes, budget_s, stages = checked(given)
        if given.list:
            print(listed(stages, sizes, budget_s))
            return 0
        return measure(given, sizes, stages, begin + shared(budget_s), budget_s)
    except UserError as error:
        made.error(str(error))
    except KeyboardInterrupt:
        print("interrupted; go on with --resume", file=sys.stderr)
        return 130


def checked(given: argparse.Namespace) -> tuple[Sizes, float, list[Stage]]:
    """What was asked for. Raises UserError."""
    toy = given.toy
    if given.resume is not None:
        if not given.resume.is_dir():
            raise UserError(f"--resume {given.resume}: there is no such folder; begin with --out {given.resume}")
        lines = read_lines(given.resume / FILE) if (given.resume / FILE).exists() else []
        begun = [line["sizes"] == TOY.name for line in lines if line["kind"] == BEGIN]
        toy = begun[0] if begun else toy  # a kill may have come before the first line
        if given.toy and not toy:
            raise UserError(f"--toy with --resume {given.resume}: results there have published sizes; leave --toy out")
    budget_s = given.budget if given.budget is not None else TOY_BUDGET_S if toy else BUDGET_S
    if not LEAST_BUDGET_S <= budget_s < float("inf"):
        raise UserError(
            f"--budget {budget_s:g}: at least {LEAST_BUDGET_S:g} seconds are wanted, {BUDGET_S:g} are usual"
        )
    for name in given.stage or ():
        if name not in NAMES:
            raise UserError(f"--stage {name}: there is no such stage; {nearest(name, NAMES)}")
    if given.cifar is not None and not given.cifar.is_file():
        raise UserError(f"--cifar {given.cifar}: there is no such file; docs/gpu.md says how one is cut")
    if given.out is None and given.resume is None and not given.list:
        raise UserError("give a folder for the results: --out DIR")
    if given.out is not None and (given.out / FILE).exists():
        raise UserError(f"--out {given.out}: it holds results already; go on with --resume {given.out}")
    stages = [stage for stage in STAGES if not given.stage or stage.name in given.stage]
    return (TOY if toy else PUBLISHED), budget_s, stages


def _file(folder: Path) -> Path:
    if not (folder / FILE).is_file():
        raise UserError(f"{folder}: there is no {FILE} in it; begin with --out {folder}")
    return folder / FILE


def listed(stages: Sequence[Stage], sizes: Sizes, budget_s: float) -> str:
    whole = sum(stage.seconds(sizes) for stage in stages)
    wide = max(len(stage.name) for stage in stages)
    lines = [
        f"{stage.name:<{wide}}  {shared(budget_s) * stage.seconds(sizes) / whole:5.0f} s  {stage.about}"
        for stage in stages
    ]
    return "\n".join(lines)


def measure(given: argparse.Namespace, sizes: Sizes, stages: Sequence[Stage], deadline: float, budget_s: float) -> int:
    """Run the stages. Exit code 1 where nothing could be measured. Raises UserError where there is no GPU."""
    folder = given.out or given.resume
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("AUTOGAN_RAY_CACHE", str((folder / "cache").resolve()))  # of the classifier; for a resume too
    worker = Worker(sizes.device, sizes.threads)
    try:
        (facts,) = worker.figures(device.facts, {"sizes": sizes}, deadline - time.monotonic())
    except Stopped as error:
        worker.close()
        raise UserError(f"the device cannot be asked: {error}") from error
    if not facts.pop("device_there"):
        worker.close()
        raise UserError("torch sees no GPU here; --toy runs the same stages at toy sizes on the CPU")
    told = {"date": date.today().isoformat(), "card": facts["card"], "torch": facts["torch"]}
    told |= {"commit": given.commit or git_commit()}
    results = Results(folder, told)
    asked = {"sizes": sizes.name, "budget_s": budget_s, "stages": [stage.name for stage in stages]}
    results.add(BEGIN, **(facts | asked | {"cifar": given.cifar.name if given.cifar else None}))
    cifar = given.cifar.resolve() if given.cifar else None
    run = Run(sizes, results, cifar, worker, lambda text: print(text, file=sys.stderr, flush=True))
    run.stages(stages, deadline)
    print(report(results.lines, [stage.name for stage in stages]))
    measured = any(results.figures(stage.name) for stage in stages)
    return 0 if measured else 1


if __name__ == "__main__":
    sys.exit(main())
