"""``report`` and ``compare``: what a study says, as a page and as a verdict."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autogan_ray.base.errors import ConfigError, ResultsError
from autogan_ray.cli import commands, options
from autogan_ray.cli.text import echo

if TYPE_CHECKING:
    from autogan_ray.spaces.space import SearchSpace

PAGE = "report.html"


@click.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help=f"The page's file; default RESULTS/{PAGE}.")
def report(results: Sequence[Path], out: Path | None) -> None:
    """Make one self-contained HTML page of a study, finished or running; of several, side by side."""
    echo(f"report     {write_report(results, out)}")


def write_report(results: Sequence[Path], out: Path | None = None) -> Path:
    """Writes the page of some studies, and returns its file: in the folder of the first study by default.

    Raises ResultsError where a folder holds no study, ConfigError where the page cannot be written.
    """
    from autogan_ray.base.files import replace_text
    from autogan_ray.results.report.page import render
    from autogan_ray.results.report.parts import Source
    from autogan_ray.results.study import load_study
    from autogan_ray.study.study_file import read_spaces

    sources = []
    for folder in dict.fromkeys(options.study_folder(folder) for folder in results):
        study = load_study(folder)
        spaces: dict[str, SearchSpace] = {}
        with suppress(ResultsError):  # study.json is lost: genotypes stand there as text, without a drawing
            spaces = read_spaces(folder)
        sources.append(Source(study, spaces, command=commands.command))
    names = ", ".join(source.study.name for source in sources)
    file = out or sources[0].folder / PAGE
    if file.is_dir():
        raise ConfigError(f"--out {str(file)!r} is a folder; name a file in it, such as {str(file / PAGE)!r}")
    page = render(sources, f"Study {names}" if len(sources) == 1 else f"Studies {names}")
    try:
        replace_text(file, page)
    except OSError as error:
        raise ConfigError(f"--out {str(file)!r} cannot be written: {error.strerror}") from error
    return file


@click.command()
@options.results
@click.option("--against", multiple=True, help="'random' or a retrained network's name; repeatable; default all.")
@click.option("--recipe", help="Of the retrainings to compare; default that of most searched networks.")
@options.as_json
def compare(results: Path, against: Sequence[str], recipe: str | None, as_json: bool) -> None:
    """Say whether the searched network is better than random, published and hand-made ones, and how sure that is."""
    from autogan_ray.results.analysis.ranking import recipes
    from autogan_ray.results.analysis.verdict import NotRetrainedError, baselines, verdict
    from autogan_ray.results.study import load_study

    study = load_study(options.study_folder(results))
    known = list(against) or baselines(study, recipe) or ["random"]
    try:
        found = [verdict(study, name, recipe) for name in known]
    except NotRetrainedError as error:
        hint = commands.command("retrain", study.folder, *error.options)
        raise ResultsError(f"{error}\n  {hint}") from error
    if as_json:
        echo(json.dumps([one.to_dict() for one in found], indent=2))
        return
    metric = str(study.about["metric"])
    echo(f"{study.name}: {metric}, networks retrained from scratch by the recipe {found[0].recipe}, on fresh seeds")
    for one in found:
        echo(f"{one}\n  {one.cost}")
    if others := [name for name in recipes(study.evaluations) if name != found[0].recipe]:
        echo(f"retrained by other recipes, too: {', '.join(others)} (--recipe)")
