"""The command line: finds the verbs, and turns mistakes into messages and exit codes.

Every click command in a file of this folder is a verb; a new verb is a new file, registered nowhere. These files import
at their top only what is light (click, the errors), and the rest inside functions, so that ``--help`` answers at once.

Exit codes: 0 done, 1 failed, 2 a mistake in what was asked, 130 interrupted with everything so far on disk.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import shlex
import sys
from typing import Any

import click

from autogan_ray import cli
from autogan_ray.base.errors import AlreadyThereError, MachineError, UserError, nearest
from autogan_ray.base.signals import INTERRUPTED, ended_by_signals
from autogan_ray.cli.commands import PROGRAM, again, keep_typed, program
from autogan_ray.cli.text import printable


@functools.cache
def verbs() -> dict[str, click.Command]:
    """The commands of all files in this folder, by their names."""
    modules = [importlib.import_module(f"{cli.__name__}.{entry.name}") for entry in pkgutil.iter_modules(cli.__path__)]
    members = [member for module in modules for member in vars(module).values()]
    commands = [member for member in members if isinstance(member, click.Command) and member is not main]
    for command in commands:
        command.context_class = _Context
    return {str(command.name): command for command in commands}


class _Context(click.Context):
    """The context of a verb or of all, whose usage names the program that was called."""

    @property
    def command_path(self) -> str:
        return shlex.join(program(self.info_name if self.parent else None))


class _Verbs(click.Group):
    """The group of all verbs; a mistake of the user becomes one message and exit code 2, whichever verb raised it."""

    context_class = _Context

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(verbs())

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return verbs().get(name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        keep_typed(ctx, args)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and args[0] not in verbs():
            raise click.UsageError(f"no verb {args[0]!r}; {nearest(args[0], verbs())}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            way_on = f":\n  {again('--resume')}" if isinstance(error, AlreadyThereError) else ""
            raise _Mistake(printable(str(error)) + way_on) from error
        except MachineError as error:
            raise click.ClickException(printable(str(error))) from error
        except KeyboardInterrupt as interrupt:
            click.echo(": ".join(["interrupted", *map(str, interrupt.args)]), err=True)
            ctx.exit(INTERRUPTED)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        with ended_by_signals():
            return super().main(*args, **kwargs)


class _Mistake(click.ClickException):
    exit_code = 2


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="autogan-ray")
def main() -> None:
    """Search for GAN architectures with Ray Tune, retrain the best, compare them honestly."""


def script(verb: str) -> None:
    """Makes a script of one verb: ``python studies/run_study.py …`` is ``autogan-ray run …``."""
    main([verb, *sys.argv[1:]], prog_name=PROGRAM)
