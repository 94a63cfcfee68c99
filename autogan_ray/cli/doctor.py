"""``doctor``: what this machine lacks for a study."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autogan_ray.base.errors import UserError
from autogan_ray.base.machine import usable_cpus
from autogan_ray.cli import commands, options
from autogan_ray.cli.run import resolve_study

if TYPE_CHECKING:
    from autogan_ray.study.plan import Plan

_LITTLE_GIB = 2


@click.command()
@options.study
@options.gpus
@options.settings("Change a setting; repeatable.")
@options.out(default=options.OUT, show_default=True)
def doctor(study: str | None, gpus: int, overrides: tuple[str, ...], out: Path) -> None:
    """Check this machine for a STUDY: GPUs, processors, data, labels, extractor, disk, and that Ray can start."""
    import torch

    from autogan_ray.base.folders import check_writable
    from autogan_ray.study.plan import make_plan
    from autogan_ray.tune.cluster import check_start
    from autogan_ray.tune.ray_internals import changed_internals

    config = resolve_study(study, gpus, overrides=overrides)
    plan = make_plan(config, out / config.name, gpus)
    problems = list(plan.missing)
    data = _said(lambda: _data(plan), problems)
    for check in (check_start, lambda: check_writable(plan.folder, "--out")):
        _said(check, problems)
    free = shutil.disk_usage(_existing(plan.folder)).free / 2**30
    if free < _LITTLE_GIB:
        problems.append(f"disk: {free:.1f} GiB free at {plan.folder}; {_LITTLE_GIB} are wanted at least")
    click.echo(f"study      {plan.study.name}")
    click.echo(f"data       {data or plan.study.data.source}")
    click.echo(f"GPUs       {torch.cuda.device_count()} here, {gpus} asked for")
    click.echo(f"CPUs       {usable_cpus()} that this process may use, {plan.slots} trials side by side")
    click.echo(f"disk       {free:.0f} GiB free")
    for line in changed_internals():
        click.echo(f"warning    {line}")
    click.echo("missing    " + ("\n           ".join(problems) if problems else "nothing"))
    if not problems:
        click.echo(f"run it by  {commands.as_verb('run')}")
    raise SystemExit(1 if problems else 0)


def _data(plan: Plan) -> str | None:
    """Returns the study's data set in a line; None where it is not here yet. Raises a UserError if it cannot serve."""
    from autogan_ray.study.plan import check_sizes, look_at_data

    seen = look_at_data(plan.study)
    if seen is None:
        return None
    check_sizes(plan, seen.image_size)
    return seen.described()


def _said(check: Callable[[], str | None], problems: list[str]) -> str | None:
    """Returns what a check gives; what it refuses is added to the problems."""
    try:
        return check()
    except UserError as error:
        problems.append(str(error))
        return None


def _existing(folder: Path) -> Path:
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
