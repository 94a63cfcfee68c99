"""Options and arguments that several verbs have, each declared once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

OUT = "results"
"""The folder of studies where none is named."""

study = click.argument("study", required=False)
results = click.argument("results", type=click.Path(path_type=Path))
as_json = click.option("--json", "as_json", is_flag=True)


class Count(click.IntRange):
    """A whole number, called so in messages."""

    name = "whole number"

    def get_metavar(self, *_: Any, **__: Any) -> str:
        return "N"


class Number(click.FloatRange):
    """A number, called so in messages."""

    name = "number"

    def get_metavar(self, *_: Any, **__: Any) -> str:
        return "X"


gpus = click.option("--gpus", type=Count(min=0), default=0, show_default=True, help="GPUs to use.")


def out(**more: Any) -> Decorator:
    """The folder to write to."""
    return click.option("--out", type=click.Path(file_okay=False, path_type=Path), **more)


def seed(**more: Any) -> Decorator:
    """The seed of everything random."""
    return click.option("--seed", type=Count(min=0), **more)


def settings(text: str) -> Decorator:
    """``--set KEY=VALUE``, repeatable; the command gets the texts as ``overrides``."""
    return click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help=text)


def resume(text: str) -> Decorator:
    """``--resume``, to go on with what is in the folder."""
    return click.option("--resume", is_flag=True, help=text)


def study_folder(asked: Path) -> Path:
    """Returns a study's folder; for a study's name, its folder in ``results/``, and says so."""
    named = Path(OUT) / asked
    if is_study(asked) or not is_study(named):
        return asked
    click.echo(f"taking {named}", err=True)
    return named


def is_study(folder: Path) -> bool:
    """Returns whether a folder holds a study, however far it came."""
    return any((folder / name).is_file() for name in ("studies.parquet", "study.json"))
