"""Options and arguments that several verbs have, each declared once; and what was typed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

OUT = "results"
"""The folder of studies where none is named."""

study = click.argument("study", required=False)
results = click.argument("results", type=click.Path(path_type=Path))
checkpoint = click.argument("checkpoint", type=click.Path(path_type=Path))
gpus = click.option("--gpus", type=click.IntRange(min=0), default=0, show_default=True, help="GPUs to use.")
as_json = click.option("--json", "as_json", is_flag=True)


def out(**more: Any) -> Decorator:
    """The folder to write to."""
    return click.option("--out", type=click.Path(file_okay=False, path_type=Path), **more)


def seed(**more: Any) -> Decorator:
    """The seed of everything random."""
    return click.option("--seed", type=click.IntRange(min=0), **more)


def settings(text: str) -> Decorator:
    """``--set KEY=VALUE``, repeatable; the command gets the texts as ``overrides``."""
    return click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help=text)


def resume(text: str) -> Decorator:
    """``--resume``, to go on with what is in the folder."""
    return click.option("--resume", is_flag=True, help=text)


def typed_command() -> str:
    """The command line as it was typed, for the record."""
    return shlex.join(["autogan-ray", *sys.argv[1:]])
