"""``doctor``: what this machine lacks for a study."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from autogan_ray.base.errors import UserError
from autogan_ray.base.machine import usable_cpus, usable_memory_gib
from autogan_ray.cli import commands, options
from autogan_ray.cli.run import resolve_study

T = TypeVar("T")

_LITTLE_GIB = 2
_PROCESS_GIB = 1.0
"""What the process of a small trial takes on a CPU, and what the driver takes together with Ray's own processes."""


@click.command()
@options.study
@options.gpus
@options.settings("Change a setting; repeatable.")
@options.out(default=options.OUT, show_default=True)
def doctor(study: str | None, gpus: int, overrides: tuple[str, ...], out: Path) -> None:
    """Check this machine for a STUDY: GPUs, CPUs, memory, data, labels, extractor, disk, and that Ray can start."""
    import torch

    from autogan_ray.base.folders import check_writable
    from autogan_ray.study.plan import check_sizes, look_at_data, make_plan
    from autogan_ray.tune.cluster import check_start
    from autogan_ray.tune.ray_internals import changed_internals
    from autogan_ray.tune.tracking import check_key

    config = resolve_study(study, gpus, overrides=overrides)
    plan = make_plan(config, out / config.name, gpus)
    problems = list(plan.missing)
    seen = _said(lambda: look_at_data(plan.study), problems)
    if seen is not None:
        _said(lambda: check_sizes(plan, seen.image_size), problems)
    for check in (check_start, lambda: check_key(config.tracking), lambda: check_writable(plan.folder, "--out")):
        _said(check, problems)
    free = shutil.disk_usage(_existing(plan.folder)).free / 2**30
    if free < _LITTLE_GIB:
        problems.append(f"disk: {free:.1f} GiB free at {plan.folder}; {_LITTLE_GIB} are wanted at least")
    memory, needed = usable_memory_gib(), _PROCESS_GIB * (plan.slots + 1) + (2 * seen.gib if seen else 0)
    if memory < needed:
        problems.append(
            f"memory: {memory:.1f} GiB may be used; {plan.slots} trials side by side, the driver and Ray want "
            f"{needed:.1f}; set tune.max_concurrent to a smaller number, or data.limit"
        )
    click.echo(f"study      {plan.study.name}")
    click.echo(f"data       {seen.described() if seen else plan.study.data.source}")
    click.echo(f"GPUs       {torch.cuda.device_count()} here, {gpus} asked for")
    click.echo(f"CPUs       {usable_cpus()} that this process may use, {plan.slots} trials side by side")
    click.echo(f"memory     {memory:.1f} GiB that may be used, {needed:.1f} wanted at least")
    click.echo(f"disk       {free:.0f} GiB free")
    for line in changed_internals():
        click.echo(f"warning    {line}")
    click.echo("missing    " + ("\n           ".join(problems) if problems else "nothing"))
    if not problems:
        click.echo(f"run it by  {commands.as_verb('run')}")
    raise SystemExit(1 if problems else 0)


def _said(check: Callable[[], T], problems: list[str]) -> T | None:
    """Returns what a check gives; what it refuses is added to the problems."""
    try:
        return check()
    except UserError as error:
        problems.append(str(error))
        return None


def _existing(folder: Path) -> Path:
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
