"""``spaces``, ``genotypes`` and ``recipes``: what is shipped, and a user's own files beside it."""

from __future__ import annotations

import itertools
import json
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autogan_ray.cli import commands, options
from autogan_ray.cli.text import echo, table

if TYPE_CHECKING:
    from autogan_ray.spaces.genotype import Genotype
    from autogan_ray.spaces.part import Decision
    from autogan_ray.spaces.published import Published, Score
    from autogan_ray.spaces.space import SearchSpace


@click.command()
@click.argument("name", required=False)
@click.option("--image-size", type=options.Count(min=1), default=32, show_default=True)
@options.as_json
def spaces(name: str | None, image_size: int, as_json: bool) -> None:
    """List the search spaces, or the decisions of one (a name, G/D, or a file)."""
    if name is None:
        _print_spaces(image_size, as_json)
    else:
        _print_space(name, image_size, as_json)


def _print_spaces(image_size: int, as_json: bool) -> None:
    """Prints every shipped space; a space that has no generator is combined with the generator of ``autogan``."""
    from autogan_ray.base import catalog
    from autogan_ray.base.errors import SpaceError
    from autogan_ray.spaces.load import load_space

    rows = []
    for name in catalog.names("space"):
        try:
            space, use = load_space(name), name
        except SpaceError:
            use = f"autogan/{name}"
            space = load_space(use)
        decisions = (len(space.decisions(image_size, "g")), len(space.decisions(image_size, "d")))
        description = space.description.split(" | ")[-1]  # of G/D: the description of what is listed here
        rows.append((use, *decisions, _count_text(space.size(image_size)), description))
    if as_json:
        keys = ("name", "decisions_g", "decisions_d", "size", "description")
        echo(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2))
        return
    echo(table(("space", "G decisions", "D decisions", f"size at {image_size} px", "description"), rows))
    echo("\ncombine two as G/D, such as autogan/adversarialnas; see one by its name")


def _print_space(name: str, image_size: int, as_json: bool) -> None:
    """Prints size, cost range, cells and all decisions of one space.

    Raises NotFoundError, SpaceError: there is no such space, or its file is wrong, or the image size does not fit.
    """
    from autogan_ray.results.drawing import WIDTH, draw_cell
    from autogan_ray.spaces.load import load_space

    space = load_space(name)
    size, connected = space.size(image_size), space.connected_size(image_size)
    cost = _cost_range(space, image_size)
    if as_json:
        echo(json.dumps(space.to_dict() | {"size": size, "connected": connected, "cost": cost}, indent=2))
        return
    echo(textwrap.fill(f"{space.name}: {space.description}", WIDTH))
    share = "all" if connected == size else f"{_count_text(connected)} ({100 * connected / size:.3g} %)"
    echo(f"{_count_text(size)} architectures at {image_size} px, {share} of them connected (no dead end)\n")
    rows = [
        (
            network,
            _span(cost[network]["params"], lambda count: f"{count:,}"),
            _span(cost[network]["macs"], lambda count: f"{count / 1e9:.6f}"),
        )
        for network in ("generator", "discriminator")
    ]
    echo(table(("network", "parameters", "GMACs of one image"), rows))
    echo(
        f"of connected networks with {cost['channels']} channels in G, {cost['channels_d']} in D, latent "
        f"{cost['latent_dim']}; which choices: --json\n"
    )
    echo(draw_cell(space.generator, "g", image_size) + "\n")
    echo(draw_cell(space.discriminator, "d", image_size) + "\n")
    echo("\n".join(_decision_lines(space.decisions(image_size), WIDTH)))


def _count_text(count: int) -> str:
    return f"{count:,}" if count < 10**7 else f"10^{math.log10(count):.1f}"


def _span(ends: dict[str, Any], show: Callable[[int], str]) -> str:
    """``smallest to largest``, or a single number where the two are equal."""
    low, high = (show(ends[end]["value"]) for end in ("smallest", "largest"))
    return low if low == high else f"{low} to {high}"


def _cost_range(space: SearchSpace, image_size: int) -> dict[str, Any]:
    """The smallest and the largest connected networks at the widths of most publications.

    The length of z is the possible length nearest to 120.
    """
    from autogan_ray.nets.cost.range import cost_range
    from autogan_ray.nets.shape import Shape

    parts = space.latent_parts(image_size)
    shape = Shape(image_size, 3, 256, 128, max(1, round(120 / parts)) * parts)
    costs = cost_range(space, shape)
    return {
        "image_size": image_size,
        "image_channels": shape.image_channels,
        "channels": shape.channels_g,
        "channels_d": shape.channels_d,
        "latent_dim": shape.latent_dim,
        **_by_network({key: asdict(ends) for key, ends in costs.items()}),
    }


def _by_network(costs: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Costs by the titles of the networks: ``params_g`` stands at ``generator`` and ``params`` then."""
    titles = {"generator": "g", "discriminator": "d"}
    return {title: {what: costs[f"{what}_{name}"] for what in ("params", "macs")} for title, name in titles.items()}


def _decision_lines(decisions: Sequence[Decision], width: int) -> list[str]:
    """All decisions by their full names; equal decisions of several cells stand on the same line."""
    together: dict[tuple[str, str], dict[tuple[str, ...], list[str]]] = {}
    for decision in decisions:
        network, _, name = decision.name.split(".", 2)
        together.setdefault((network, name), {}).setdefault(decision.choices, []).append(decision.name)
    groups = [group for by_choices in together.values() for group in by_choices.items()]
    longest = max(len(decision.name) for decision in decisions)
    left = max(longest, min(32, max(len(" ".join(names)) for _, names in groups)))
    lines = [f"{f'decisions: {len(decisions)}':<{left}}  choices"]
    for choices, names in groups:
        columns = (textwrap.wrap(" ".join(names), left), textwrap.wrap(" ".join(choices), max(20, width - left - 2)))
        lines += [f"{a:<{left}}  {b}".rstrip() for a, b in itertools.zip_longest(*columns, fillvalue="")]
    return lines


@click.command()
@click.argument("name", required=False)
@click.option("--image-size", type=options.Count(min=1), help="Side in pixels (default: the genotype's own).")
@click.option("--channels", type=options.Count(min=1), help="Of G (default: as published; 256 for a file).")
@click.option("--channels-d", type=options.Count(min=1), help="Of D (default: half of G's).")
@click.option("--latent", type=options.Count(min=1), help="Length of z (default: as published; 120 for a file).")
@options.as_json
def genotypes(name: str | None, as_json: bool, **sizes: int | None) -> None:
    """List the published genotypes, or draw one (a name, a file, or an id of a study in results/) with its cost."""
    if name is not None:
        _print_genotype(name, as_json=as_json, **sizes)
    elif any(value is not None for value in sizes.values()):
        raise click.UsageError("--image-size, --channels, --channels-d and --latent are for one genotype: name it")
    else:
        _print_genotypes(as_json)


def _print_genotypes(as_json: bool) -> None:
    """Prints every shipped genotype with its cost as published, and every published score with its protocol."""
    from autogan_ray.spaces.load import space_of
    from autogan_ray.spaces.published import all_published

    entries = all_published()
    costs = {entry.name: _cost(space_of(entry.genotype), entry.genotype, *_widths(entry)) for entry in entries}
    if as_json:
        echo(json.dumps([_entry(entry) | costs[entry.name] for entry in entries], indent=2))
        return
    rows = []
    for entry in entries:
        cost, size = costs[entry.name]["generator"], str(entry.genotype.image_size)
        line = (f"{cost['params'] / 1e6:.3f}", f"{cost['macs'] / 1e9:.3f}", entry.about.source)
        rows.append((entry.name, entry.genotype.space, size, *line))
    echo(table(("genotype", "space", "px", "params/M", "GMACs", "source"), rows))
    echo("params and MACs of the generator at the published width; the discriminator's: --json")
    echo("\npublished scores, of other code and by the protocol they were published with")
    scores = [(entry.name, score) for entry in entries for score in entry.about.scores]
    numbered = {note: index for index, note in enumerate(dict.fromkeys(s.note for _, s in scores if s.note), start=1)}
    reported = [
        (
            f"{name} [{numbered[score.note]}]" if score.note else name,
            f"{score.dataset} {score.image_size} px",
            *(_with_spread(score), score.fid, f"{score.n_fake:,}", f"{score.n_real:,}", score.features),
        )
        for name, score in scores
    ]
    echo(table(("genotype", "data", "IS", "FID", "fakes", "reals", "features"), reported))
    for note, index in numbered.items():
        echo(f"[{index}] {note}")


def _with_spread(score: Score) -> str:
    spread = f" ± {score.inception_score_sd:.2f}" if score.inception_score_sd else ""
    return f"{score.inception_score:.2f}{spread}" if score.inception_score else ""


def _entry(entry: Published) -> dict[str, Any]:
    about = entry.about.model_dump(mode="json")
    return {"name": entry.name, "space": entry.genotype.space, "image_size": entry.genotype.image_size, **about}


def _widths(entry: Published) -> tuple[int, int, int]:
    return entry.about.channels_g, entry.about.channels_d, entry.about.latent_dim


def _cost(
    space: SearchSpace, genotype: Genotype, channels_g: int, channels_d: int, latent_dim: int
) -> dict[str, dict[str, int]]:
    """Parameters and multiply-accumulates of one image for both networks, where images have three channels."""
    from autogan_ray.nets.cost.count import genotype_cost
    from autogan_ray.nets.shape import Shape

    shape = Shape(genotype.image_size, 3, channels_g, channels_d, latent_dim)
    return _by_network(genotype_cost(space, shape, genotype))


def _print_genotype(
    name: str,
    *,
    image_size: int | None,
    channels: int | None,
    channels_d: int | None,
    latent: int | None,
    as_json: bool,
) -> None:
    """Prints one genotype as a drawing, with the cost of both networks.

    Args:
        image_size: in pixels; None takes the genotype's own.
        channels: of G; None takes the published number, and 256 for a file.
        channels_d: of D; None takes half of ``channels``, else the published number, and 128 for a file.
        latent: length of z; None takes the published length, and 120 for a file.

    Raises NotFoundError, GenotypeError, ConfigError: there is no such genotype, or it does not fit its space, the
    image size or the length of z.
    """
    from autogan_ray.results.drawing import draw
    from autogan_ray.results.genotypes import find_genotype
    from autogan_ray.results.study_tables import list_studies
    from autogan_ray.spaces.load import space_of
    from autogan_ray.spaces.published import is_published, load_published
    from autogan_ray.study.study_file import read_space

    published = load_published(name) if is_published(name) else None
    wide, narrow, length = _widths(published) if published else (256, 128, 120)
    stored, study = find_genotype(name, list_studies(Path(options.OUT)))
    space = (study and read_space(study, stored.space)) or space_of(stored)
    genotype = space.resized(stored, image_size or stored.image_size)
    narrow = channels_d or (max(1, channels // 2) if channels else narrow)
    wide, length = channels or wide, latent or length
    cost = _cost(space, genotype, wide, narrow, length)
    if as_json:
        settings = {"channels": wide, "channels_d": narrow, "latent_dim": length}
        echo(json.dumps({"name": name, **settings, "genotype": genotype.to_dict(), **cost}, indent=2))
        return
    echo(draw(genotype))
    for network, width in (("generator", wide), ("discriminator", narrow)):
        numbers = cost[network]
        echo(f"{network}: {numbers['params']:,} parameters, {numbers['macs'] / 1e9:.6f} GMACs at {width} channels")
    if published:
        echo(f"{published.about.title}; {published.about.source}")


@click.command()
@options.as_json
def recipes(as_json: bool) -> None:
    """List the published training settings that retrain takes by --recipe."""
    from autogan_ray.config.recipe import all_recipes

    shipped = all_recipes()
    if as_json:
        listed = [{"name": name, **recipe.model_dump(mode="json")} for name, recipe in shipped.items()]
        echo(json.dumps(listed, indent=2))
        return
    rows = []
    for name, recipe in shipped.items():
        values = recipe.retrain
        batches = f"{values.batch_size}/{values.batch_size_g}"
        widths = f"{values.channels_g}/{values.channels_d}"
        rows.append((name, f"{recipe.image_size} px", f"{values.kimg:g}", batches, widths, recipe.description))
    echo(table(("recipe", "images", "kimg", "batch D/G", "width G/D", "description"), rows))
    used = commands.command("retrain", "RESULTS", "--genotype", "NAME", "--recipe", "NAME")
    echo(f"\nuse one, or a file of your own by its path:\n  {used}")
