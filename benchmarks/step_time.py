"""How long a step takes: the product against its networks in their plain form, or against other settings.

    python benchmarks/step_time.py digits --threads 1 --out benchmarks/results
    python benchmarks/step_time.py adversarialnas --device cuda --relaxation gumbel_hard --rounds 11
    python benchmarks/step_time.py cifar-small --check
    python benchmarks/step_time.py cifar-small --set search.objective=relativistic --against search.objective=hinge

Three tasks: ``search``, one iteration of all four updates at their ratio (n steps of D and one of G, on logits and on
weights); ``retrain``, n steps of D and one of G of a derived network; ``sample``, one pass of a derived generator to
8-bit images on the CPU. Both sides are the package's own loop code (``SearchLoop``, ``TrainLoop``,
``Evaluator.images``). The plain side computes with ``merge = false``, in float32 and contiguous layout: every operation
of every decision is a module call of its own.

``--set`` changes a setting: of both sides (``search.d_steps_per_g_step=5``, ``model.channels_g=32``), or how the
product computes (``compute.channels_last=false``, ``compute.compile=true``). With ``--against`` the other side is the
product as well, with these settings in place of those: what a setting costs.

Before anything is timed, both are compared at narrow widths from the same weights and noise: scores and gradients must
be equal up to float32 rounding (``_agreement.py``), or nothing is measured and the exit code is 1. ``--check`` stops
there. Then both take turns in one process. Reported for each task:

time      median over rounds, with quartiles; the very first call stands apart (``first_s``)
ratio     the other side's time / product's, median over rounds with an interval (``_rounds.Ratio``); on a CPU also in
          processor time, which says more on a machine that is shared
images/s  real images shown to D in steps on its weights; images made, for ``sample``
of matmul FLOPs of convolutions and matrix products / time, against the best rate of a large fp32 matrix product here
floors    the arithmetic floor is those FLOPs at that rate. The bytes floor is every parameter, and every result of a
          convolution or matrix product, once, at the measured rate of a copy; what fits into a cache can beat it
memory    peak of live tensors made in a call, and what autograd saved for backward passes: counted, so exact
ops       torch operations that compute. Small networks are bound by their number, and so are large ones on a GPU, where
          each launches a kernel or a few

A compiled product is counted as it is before compilation, but for the GPU allocator's peak (``allocated_peak_bytes``).
With gumbel_hard every iteration runs another path: times are of many, FLOPs, floors and memory those of one draw.

A file in ``--out`` is named after date, device and configuration. A configuration's batches, widths and ratio are in
``_setups.py``; learning rates are the study's, logits are never frozen, the temperature is constant.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import click
import torch
from _agreement import Disagreement, compare
from _meter import Counted, count
from _rounds import Rates, Ratio, alternate
from _setups import CONFIGURATIONS, RELAXATIONS, Setup, setup
from _sides import Side, computing, plain, product
from _table import table

from autogan_ray.base.errors import UserError
from autogan_ray.base.machine import cpu_name
from autogan_ray.base.provenance import git_commit, packages_json
from autogan_ray.config.overrides import parse_override

TASKS = ("search", "retrain", "sample")
LEAST_S = 0.2
"""A timing lasts at least about so long, that the clock and the scheduler do not decide it."""


@click.command(help="Time one search iteration, one retraining step, one sampling pass against their plain form.")
@click.argument("configuration", default="digits")
@click.option("--relaxation", type=click.Choice(RELAXATIONS), default="softmax", show_default=True)
@click.option("--space", help="Search space, by name or file; without it the study's.")
@click.option("--precision", help="Of the product: fp32 or bf16. The plain form is always fp32.")
@click.option("--set", "settings", multiple=True, help="key=value of a trial or of retrain, as model.channels_g=32.")
@click.option("--against", multiple=True, help="key=value: compare with the product so set, not with the plain form.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--threads", type=click.IntRange(1), help="Torch threads; without it torch's own choice.")
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True, help="Timings; below 5 says little.")
@click.option("--task", "tasks", type=click.Choice(TASKS), multiple=True, help="Repeatable; without it all three.")
@click.option("--check", is_flag=True, help="Only compare scores and gradients.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for a dated JSON file.")
def main(
    configuration: str,
    relaxation: str,
    space: str | None,
    precision: str | None,
    settings: tuple[str, ...],
    against: tuple[str, ...],
    device: str,
    threads: int | None,
    rounds: int,
    tasks: tuple[str, ...],
    check: bool,
    as_json: bool,
    out: Path | None,
) -> None:
    if threads is not None:
        torch.set_num_threads(threads)
    if device == "cuda" and not torch.cuda.is_available():
        raise click.UsageError("--device cuda: torch sees no GPU here; take --device cpu")
    try:
        given = dict(map(parse_override, settings))
        given |= {"compute.precision": precision} if precision else {}
        chosen = setup(configuration, relaxation=relaxation, space=space, settings=given)
        narrow = setup(configuration, relaxation=relaxation, space=space, settings=given, narrow=True, still=True)
        agreement = compare(narrow)
    except UserError as error:
        raise click.UsageError(str(error)) from error
    except Disagreement as error:
        click.echo(f"product and plain form disagree: {error}", err=True)
        sys.exit(1)
    if check:
        click.echo(json.dumps({"agreement": agreement}, indent=2))
        return
    place = torch.device(device)
    other = plain(chosen, place)
    if against:
        changed = dict(map(parse_override, against))
        other = Side(
            "against", setup(configuration, relaxation=relaxation, space=space, settings=given | changed), place
        )
        given |= {f"against {key}": value for key, value in changed.items()}
    report = measure(chosen, other, place, rounds, tasks or TASKS, given) | {"agreement": agreement}
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        file = out / file_name(report)
        file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        click.echo(f"written: {file}", err=True)
    click.echo(json.dumps(report) if as_json else table(report))


def measure(
    chosen: Setup, other: Side, device: torch.device, rounds: int, tasks: tuple[str, ...], given: dict[str, Any]
) -> dict[str, Any]:
    """All that is reported, as plain data."""
    start = time.time()
    sides = product(chosen, device), other
    rates = Rates.measured(device)
    counted = (product(_eager(chosen), device), sides[1]) if chosen.trial.compute.compile else sides
    done = {task: _task(task, sides, counted, rounds, device, rates) for task in tasks}
    search, shape = chosen.trial.search, chosen.shape
    return {
        "schema": 2,
        "date": date.today().isoformat(),
        "configuration": chosen.name,
        "about": CONFIGURATIONS[chosen.name].about,
        "space": chosen.space.name,
        "relaxation": search.relaxation,
        "settings": given,
        "compute": chosen.trial.compute.model_dump(mode="json"),
        "image_size": shape.image_size,
        "channels": [shape.channels_g, shape.channels_d],
        "batch_size": search.batch_size,
        "d_steps_per_g_step": search.d_steps_per_g_step,
        "retrain_channels": [chosen.shape_retrain.channels_g, chosen.shape_retrain.channels_d],
        "device": device.type,
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name(),
        "load_average": os.getloadavg()[0],
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "commit": git_commit(),
        "packages": json.loads(packages_json()),
        "rates": asdict(rates),
        "tasks": done,
        "wall_s": time.time() - start,
    }


def _eager(chosen: Setup) -> Setup:
    return computing(chosen, chosen.trial.compute.model_copy(update={"compile": False}))


def _task(
    task: str, sides: tuple[Side, ...], counted: tuple[Side, ...], rounds: int, device: torch.device, rates: Rates
) -> dict[str, Any]:
    """Args: counted: the same sides, in a form whose operations can be counted."""
    calls = {side.name: side.task(task) for side in sides}
    times, repeats = alternate(calls, rounds, device, LEAST_S)
    images = _images(task, sides[0])
    found: dict[str, Any] = {}
    for side, eager in zip(sides, counted, strict=True):
        if eager is not side:
            eager.task(task)()  # what optimisers set up in their first step is no step's
        counts, told = _count(eager, task), times[side.name].told()
        median = told["median_s"]
        held = sum(p.nbytes for p in _parameters(side, task))
        found[side.name] = {
            **told,
            "images_per_s": images / median,
            **asdict(counts),
            "share_of_matmul_rate": counts.flops / median / rates.flops_per_s,
            "arithmetic_floor_s": counts.flops / rates.flops_per_s,
            "bytes_floor_s": (held + counts.result_bytes) / rates.bytes_per_s,
        }
        if device.type == "cuda":
            found[side.name]["allocated_peak_bytes"] = _allocated(side, task, device)
    below, above = (times[side.name] for side in sides)
    ratios = {"ratio": asdict(Ratio.of(above.rounds, below.rounds))}
    if device.type == "cpu":
        ratios["cpu_ratio"] = asdict(Ratio.of(above.cpu, below.cpu))
    return {"images": images, "calls_a_timing": repeats, **ratios, "sides": found}


def _images(task: str, side: Side) -> int:
    """Real images shown to D in steps on its weights, or images made."""
    chosen: Setup = side.setup
    if task == "sample":
        return chosen.sampled
    loop = chosen.trial.search if task == "search" else chosen.retrain
    return loop.batch_size * loop.d_steps_per_g_step


def _parameters(side: Side, task: str) -> list[torch.nn.Parameter]:
    networks = side.networks()
    wanted = {"search": ("search_g", "search_d"), "retrain": ("retrain_g", "retrain_d"), "sample": ("retrain_g",)}
    return [parameter for name in wanted[task] for parameter in networks[name].parameters()]


def _count(side: Side, task: str) -> Counted:
    side.forget_gradients()
    kept = [tensor for net in side.networks().values() for tensor in (*net.parameters(), *net.buffers())]
    return count(side.task(task), [*kept, *side.logits().values()])


def _allocated(side: Side, task: str, device: torch.device) -> int:
    """Peak of the GPU's allocator in a call, above what was there before it."""
    side.forget_gradients()
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    side.task(task)()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def file_name(report: dict[str, Any]) -> str:
    """YYYY-MM-DD-<device>-<configuration>.json; what is not the usual follows the configuration."""
    name = report["device_name"] if report["device"] == "cuda" else "cpu"
    parts = [report["date"], name, report["configuration"]]
    parts += [report["relaxation"]] if report["relaxation"] != "softmax" else []
    parts += [f"{key.split('.')[-1]}-{value}" for key, value in report["settings"].items()]
    usual = setup(report["configuration"]).space.name
    parts += [report["space"]] if report["space"] != usual else []
    plain = "".join(letter if letter.isalnum() else "-" for letter in "-".join(parts).lower())
    return f"{plain}.json"


if __name__ == "__main__":
    main()
