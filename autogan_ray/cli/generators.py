"""``generate`` and ``evaluate``: images of a retrained generator, and its score."""

from __future__ import annotations

from pathlib import Path

import click

from autogan_ray.cli import options
from autogan_ray.cli.text import number


@click.command()
@options.checkpoint
@click.option("--num", type=click.IntRange(min=1), default=64, show_default=True, help="Number of images.")
@options.out(required=True, help="Folder for the PNGs.")
@options.seed(default=0, show_default=True)
@click.option("--class", "label", type=click.IntRange(min=0), help="This class only (class-conditional generators).")
def generate(checkpoint: Path, num: int, out: Path, seed: int, label: int | None) -> None:
    """Sample a retrained generator into PNG files."""
    from autogan_ray.retraining.sampling import write_images

    click.echo(f"{write_images(checkpoint, num, out, seed, label)} images in {out}")


@click.command()
@options.checkpoint
@click.option("--num", type=click.IntRange(min=2), help="Number of fakes (default: the study's final number).")
@options.settings("Where files lie now, such as data.source=imagefolder:DIR.")
def evaluate(checkpoint: Path, num: int | None, overrides: tuple[str, ...]) -> None:
    """Score a retrained generator again, by its study's protocol."""
    from autogan_ray.retraining.sampling import score_again

    metric, score, n_fake = score_again(checkpoint, num, overrides)
    click.echo(f"{metric} {number(score, '.6g')} of {n_fake} images")
