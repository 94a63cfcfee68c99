"""``generate`` and ``evaluate``: images of a retrained generator, and its score."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from autogan_ray.base.errors import ResultsError
from autogan_ray.cli import commands, options
from autogan_ray.cli.text import echo, number

_LISTED = 10

checkpoint = click.argument("checkpoint", type=click.Path(path_type=Path))


@click.command()
@checkpoint
@click.option("--num", type=options.Count(min=1), default=64, show_default=True, help="Number of images.")
@options.out(required=True, help="Folder for the PNGs, of these images alone.")
@options.seed(default=0, show_default=True)
@click.option("--class", "label", type=options.Count(min=0), help="This class only (class-conditional generators).")
def generate(checkpoint: Path, num: int, out: Path, seed: int, label: int | None) -> None:
    """Sample a retrained generator into PNG files; the same command again completes what was interrupted."""
    _check_is_generator(checkpoint)
    from autogan_ray.retraining.sampling import grid_file, write_images

    written = write_images(checkpoint, num, out, seed, label)
    there = "" if written == num else ", all of them were there" if not written else f", {num - written} were there"
    echo(f"{num} images in {out}{there}; the first of them in {grid_file(out)}")


@click.command()
@checkpoint
@click.option("--num", type=options.Count(min=2), help="Number of fakes (default: the study's final number).")
@options.settings("Where files lie now, such as data.source=imagefolder:DIR.")
def evaluate(checkpoint: Path, num: int | None, overrides: tuple[str, ...]) -> None:
    """Score a retrained generator again, by its study's protocol."""
    _check_is_generator(checkpoint)
    from autogan_ray.retraining.sampling import score_again

    found = score_again(checkpoint, num, overrides)
    if found.warning:
        echo(f"warning: {found.warning}", err=True)
    echo(f"{found.metric} {number(found.fid, '.6g')} of {found.n_fake} images")


def _check_is_generator(asked: Path) -> None:
    """Raises ResultsError where CHECKPOINT is a study or a genotype, saying where the generators are."""
    from autogan_ray.results.retrained import GENERATOR
    from autogan_ray.spaces.published import is_published

    study = asked if asked.exists() else options.study_folder(asked)
    if options.is_study(study):
        raise ResultsError(f"{str(asked)!r} is a study, not a retrained generator; {_generators_of(study)}")
    beside = asked.parent / GENERATOR
    if asked.name != GENERATOR and asked.is_file() and beside.is_file():
        raise ResultsError(f"{str(asked)!r} is not a generator; the one beside it: {str(asked.parent)!r}")
    if asked.suffix == ".json" or (not asked.exists() and is_published(str(asked))):
        train = commands.command("retrain", "RESULTS", "--genotype", asked)
        raise ResultsError(f"{str(asked)!r} is a genotype, without weights; train it:\n  {train}")


def _generators_of(study: Path) -> str:
    """The retrained generators of a study, best first; where there are none, how to retrain."""
    from autogan_ray.results.retrained import GENERATOR, RETRAINED, read_result

    found = []
    for file in sorted((study / RETRAINED).glob(f"*/{GENERATOR}")):
        row = (read_result(file.parent) or {}).get("row", {})
        fid = row.get("fid")
        about = f"{row.get('name', 'unfinished')}, seed {row.get('seed', '?')}: {number(fid)}"
        found.append((float("inf") if fid is None else fid, f"\n  {shlex.quote(str(file.parent))}   ({about})"))
    if not found:
        return f"nothing was retrained in it yet:\n  {commands.command('retrain', study)}"
    more = f"\n  and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return "its generators, best first:" + "".join(line for _, line in sorted(found)[:_LISTED]) + more
