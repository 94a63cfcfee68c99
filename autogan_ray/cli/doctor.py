"""``doctor``: what this machine lacks for a study."""

from __future__ import annotations

from pathlib import Path

import click

from autogan_ray.cli import options
from autogan_ray.cli.run import resolve_study


@click.command()
@options.study
@options.gpus
def doctor(study: str | None, gpus: int) -> None:
    """Check this machine for a STUDY: GPUs, data, extractor weights, disk."""
    import shutil

    import torch

    from autogan_ray.study.plan import make_plan

    plan = make_plan(resolve_study(study, gpus), Path(options.OUT), gpus)
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    click.echo(f"study      {plan.study.name}")
    click.echo(f"GPUs       {torch.cuda.device_count()} here, {gpus} asked for")
    click.echo(f"disk       {free:.0f} GiB free")
    click.echo("missing    " + ("\n           ".join(plan.missing) if plan.missing else "nothing"))
    raise SystemExit(1 if plan.missing else 0)
