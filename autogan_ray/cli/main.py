"""The command line: reads what was asked, calls the package, prints. Everything heavy is imported inside a verb.

Exit codes: 0 done, 1 failed, 2 a mistake in what was asked, 130 interrupted with everything so far on disk.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

OUT = "results"


class _Verbs(click.Group):
    """Errors of the user become one message and exit code 2, whichever verb raised them."""

    def invoke(self, ctx: click.Context) -> Any:
        from autogan_ray.base.errors import UserError

        try:
            return super().invoke(ctx)
        except UserError as error:
            raise _Mistake(str(error)) from error
        except KeyboardInterrupt as interrupt:
            click.echo(": ".join(["interrupted", *map(str, interrupt.args)]), err=True)
            ctx.exit(130)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        from autogan_ray.base.errors import nearest

        if args and not args[0].startswith("-") and args[0] not in self.commands:
            raise click.UsageError(f"no verb {args[0]!r}; {nearest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


class _Mistake(click.ClickException):
    exit_code = 2


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="autogan-ray")
def main() -> None:
    """Search for GAN architectures with Ray Tune, retrain the best, compare them honestly."""


@main.command()
@click.argument("study", required=False)
@click.option("--gpus", type=click.IntRange(min=0), default=0, show_default=True, help="GPUs to use.")
@click.option("--gpus-per-trial", type=click.FloatRange(min=0, min_open=True), help="Share of a GPU, or a number.")
@click.option("--trials", type=click.IntRange(min=1), help="Number of trials; with --resume also more than before.")
@click.option("--name", help="Name of the study's folder.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=OUT, show_default=True)
@click.option("--storage", help="Path or URI for checkpoints that all nodes can reach.")
@click.option("--address", help="Address of a running Ray cluster, such as auto.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the study.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting; repeatable.")
@click.option("--space", "spaces", multiple=True, help="Search these spaces only; repeatable.")
@click.option("--time-budget", help="End after so long: 90s, 30m, 8h.")
@click.option("--max-gpu-hours", type=click.FloatRange(min=0, min_open=True), help="End after so many GPU hours.")
@click.option("--resume", is_flag=True, help="Go on with the study in the folder; what failed is tried again.")
@click.option("--dry-run", is_flag=True, help="Show the resolved study and what is missing; run nothing.")
def run(**asked: Any) -> None:
    """Run a STUDY: a shipped name or a file (default: cifar10 with GPUs, digits without)."""
    from autogan_ray.cli.run import run_command

    raise SystemExit(run_command(click.echo, command=_typed(), **asked))


def _typed() -> str:
    return shlex.join(["autogan-ray", *sys.argv[1:]])


@main.command()
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--study", help="For a new folder RESULTS: data and metric of this study; nothing is searched.")
@click.option("--recipe", help="Published training settings: see the verb recipes; or a file.")
@click.option("--trial", help="'best' or a trial's id (default best, unless --genotype is given).")
@click.option("--top", type=click.IntRange(min=1), default=1, show_default=True, help="With best: so many trials.")
@click.option("--genotype", "genotypes", multiple=True, help="A published name, a file, or 'random'; repeatable.")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Runs of each genotype.")
@click.option("--kimg", type=click.FloatRange(min=0, min_open=True), help="Length of training.")
@click.option("--discriminator", type=click.Choice(["derived", "fixed"]), help="fixed: the published protocol.")
@click.option("--gpus", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a retrain.* setting, or where files lie."
)
@click.option("--resume", is_flag=True, help="Go on with what is in the folder.")
def retrain(**asked: Any) -> None:
    """Train genotypes from scratch and score them by the protocol of the study in RESULTS."""
    from autogan_ray.cli.retrain import retrain_command

    raise SystemExit(retrain_command(click.echo, command=_typed(), **asked))


@main.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--num", type=click.IntRange(min=1), default=64, show_default=True, help="Number of images.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder for the PNGs.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--class", "label", type=click.IntRange(min=0), help="This class only (class-conditional generators).")
def generate(checkpoint: Path, num: int, out: Path, seed: int, label: int | None) -> None:
    """Sample a retrained generator into PNG files."""
    from autogan_ray.retraining.sampling import write_images

    click.echo(f"{write_images(checkpoint, num, out, seed, label)} images in {out}")


@main.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--num", type=click.IntRange(min=2), help="Number of fakes (default: the study's final number).")
def evaluate(checkpoint: Path, num: int | None) -> None:
    """Score a retrained generator again, by its study's protocol."""
    from autogan_ray.cli.studies import say_scores

    say_scores(click.echo, checkpoint, num)


@main.command("list")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True)
def list_(folder: Path | None, as_json: bool) -> None:
    """List the studies in a folder (default: results)."""
    from autogan_ray.cli.studies import check_named, say_studies

    if folder is not None:
        check_named(folder)
    say_studies(click.echo, folder or Path(OUT), as_json)


@main.command()
@click.argument("results", type=click.Path(path_type=Path))
@click.argument("trial", required=False)
@click.option("--json", "as_json", is_flag=True)
def show(results: Path, trial: str | None, as_json: bool) -> None:
    """Show a study's trials, or one TRIAL (an id, or best) with its genotype."""
    from autogan_ray.cli.studies import say_study, say_trial

    if trial is None:
        say_study(click.echo, results, as_json)
    else:
        say_trial(click.echo, results, trial, as_json)


@main.command()
@click.argument("name", required=False)
@click.option("--image-size", type=int, default=32, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def spaces(name: str | None, image_size: int, as_json: bool) -> None:
    """List the search spaces, or the decisions of one (a name, G/D, or a file)."""
    from autogan_ray.cli.shipped import say_space, say_spaces

    if name is None:
        say_spaces(click.echo, image_size, as_json)
    else:
        say_space(click.echo, name, image_size, as_json)


@main.command()
@click.argument("name", required=False)
@click.option("--image-size", type=click.IntRange(min=1), help="Side in pixels (default: the genotype's own).")
@click.option("--channels", type=click.IntRange(min=1), help="Of G (default: as published; 256 for a file).")
@click.option("--channels-d", type=click.IntRange(min=1), help="Of D (default: half of G's).")
@click.option("--latent", type=click.IntRange(min=1), help="Length of z (default: as published; 120 for a file).")
@click.option("--json", "as_json", is_flag=True)
def genotypes(name: str | None, as_json: bool, **asked: Any) -> None:
    """List the published genotypes, or draw one (a name or a file) with what it costs."""
    from autogan_ray.cli.shipped import say_genotype, say_genotypes

    if name is not None:
        say_genotype(click.echo, name, as_json=as_json, **asked)
    elif any(value is not None for value in asked.values()):
        raise click.UsageError("--image-size, --channels, --channels-d and --latent are for one genotype: name it")
    else:
        say_genotypes(click.echo, as_json)


@main.command()
@click.option("--json", "as_json", is_flag=True)
def recipes(as_json: bool) -> None:
    """List the published training settings that retrain takes by --recipe."""
    from autogan_ray.cli.shipped import say_recipes

    say_recipes(click.echo, as_json)


@main.command()
@click.argument("study", required=False)
@click.option("--gpus", type=click.IntRange(min=0), default=0)
def doctor(study: str | None, gpus: int) -> None:
    """Check this machine for a STUDY: GPUs, data, extractor weights, disk."""
    from autogan_ray.cli.retrain import doctor_command

    raise SystemExit(doctor_command(click.echo, study, gpus))


def script(verb: str, arguments: Sequence[str] | None = None) -> None:
    """One verb as a script of its own: ``python studies/run_study.py …``."""
    main(args=[verb, *(sys.argv[1:] if arguments is None else arguments)], prog_name="autogan-ray")
