"""Commands as text: the one that was typed, for the record, and those that are printed to go on with.

A printed command can be pasted into the shell that it is printed in. It calls the program that was called
(``python studies/run_study.py``, ``autogan-ray`` or ``python -m autogan_ray``). Where a program is not on the PATH, as
in a virtual environment that is not activated, its path is printed.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import click

from autogan_ray.base.provenance import without_secrets
from autogan_ray.base.signals import last_words
from autogan_ray.cli.options import OUT

PROGRAM = "autogan-ray"
SCRIPTS = {"run": "run_study.py", "retrain": "retrain.py"}
"""Verb -> the script in ``studies/`` that is this verb."""

_TYPED = "autogan_ray.typed"


def keep_typed(context: click.Context, arguments: list[str]) -> None:
    """Keeps the arguments of the running command, the verb first, for :func:`typed` and :func:`again`."""
    context.meta[_TYPED] = tuple(arguments)


def typed() -> str:
    """Returns the running command as it was typed, without passwords."""
    return again()


def again(*options: str) -> str:
    """Returns the running command with these options, each added where it was not typed."""
    verb, *arguments = click.get_current_context().meta[_TYPED]
    return command(verb, *arguments, *(option for option in options if option not in arguments))


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Says how the running command goes on where a signal ends the block; ``folder`` is that of its study."""
    begin, go_on = again(), again("--resume")  # the last words are said in a thread, which has no context

    def way_on() -> str:
        begun = (folder / "study.json").is_file()
        return f"go on with\n  {go_on}" if begun else f"nothing is begun yet; begin with\n  {begin}"

    with last_words(lambda: click.echo(f"interrupted: {way_on()}", err=True)):
        try:
            yield
        except KeyboardInterrupt:
            raise KeyboardInterrupt(way_on()) from None


def as_verb(verb: str) -> str:
    """Returns the running command with another verb in the place of its own."""
    return command(verb, *click.get_current_context().meta[_TYPED][1:])


def resumed(recorded: str, name: str, folder: Path) -> str:
    """Returns the command that a study recorded, with ``--resume``, and with its folder where that was moved.

    Args:
        recorded: the command.
        name: of the study when it began.
        folder: in which the study lies now.
    """
    words = shlex.split(recorded)
    typed = dict(pairwise(words))
    if Path(typed.get("--out", OUT)).absolute() != folder.absolute().parent:
        words += ["--out", str(folder.parent)]
    if typed.get("--name", name) != folder.name:
        words += ["--name", folder.name]  # of an option that stands twice the last counts
    return shlex.join(words if "--resume" in words else [*words, "--resume"])


def varied(recorded: str, *options: str) -> str:
    """Returns the command that a study recorded with further options, to begin another study."""
    words = [word for word in shlex.split(recorded) if word not in ("--resume", "--new")]
    return shlex.join([*words, *options])


def command(verb: str, *arguments: str | Path) -> str:
    """Returns the command of a verb with its arguments, called as the running program was."""
    return _joined(*program(verb), *map(str, arguments))


def python(code: str) -> str:
    """Returns the command that runs a line of Python with this interpreter."""
    return _joined(_runnable(Path(sys.executable)), "-c", code)


def installed(name: str) -> str:
    """Returns the program of that name which was installed beside this interpreter."""
    return _joined(_runnable(Path(sys.executable).with_name(name)))


def program(verb: str | None = None) -> list[str]:
    """Returns the words that call a verb, or the command line as a whole, as the running program was called."""
    called, interpreter = Path(sys.argv[0]), Path(sys.executable)
    rest = [verb] if verb else []
    if called.name in SCRIPTS.values() and verb in SCRIPTS:
        return [_runnable(interpreter), str(called.with_name(SCRIPTS[verb]))]
    beside = called if called.name == PROGRAM else interpreter.with_name(PROGRAM)
    if called.name == "__main__.py" or not beside.is_file():
        return [_runnable(interpreter), "-m", "autogan_ray", *rest]
    return [_runnable(beside), *rest]


def _runnable(file: Path) -> str:
    """Returns what runs a program in this shell: its name where the PATH leads to it, else its path.

    Links are not followed: the interpreter of a virtual environment is a link to another one, without the packages.
    """
    found = shutil.which(file.name)
    if found is not None and Path(found).absolute() == file.absolute():
        return file.name
    here = Path.cwd()
    below = file.absolute().relative_to(here) if file.absolute().is_relative_to(here) else file.absolute()
    return f"./{below}" if len(below.parts) == 1 else str(below)


def _joined(*words: str) -> str:
    return shlex.join(map(without_secrets, words))
