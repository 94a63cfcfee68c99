"""The verbs that show what is shipped, or a user's own beside it: search spaces and genotypes."""

from __future__ import annotations

import itertools
import json
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from autogan_ray.base import catalog
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.spaces.load import load_space, space_of
from autogan_ray.spaces.part import Decision
from autogan_ray.spaces.published import Published, Score, all_published, is_published, load_genotype, load_published
from autogan_ray.spaces.space import SearchSpace

Say = Callable[[str], None]


def _size_text(space: SearchSpace, image_size: int) -> str:
    return _number_text(space.size(image_size))


def say_spaces(say: Say, image_size: int, as_json: bool) -> None:
    """Every shipped space; a space without a generator is for the right of a slash."""
    from autogan_ray.base.errors import SpaceError
    from autogan_ray.cli.text import table

    rows = []
    for name in catalog.names("space"):
        try:
            space, use = load_space(name), name
        except SpaceError:
            use = f"autogan/{name}"
            space = load_space(use)
        decisions = (len(space.decisions(image_size, "g")), len(space.decisions(image_size, "d")))
        description = space.description.split(" | ")[-1]  # of G/D: what stands right of the slash is listed
        rows.append((use, *decisions, _size_text(space, image_size), description))
    if as_json:
        keys = ("name", "decisions_g", "decisions_d", "size", "description")
        say(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2))
        return
    say(table(("space", "G decisions", "D decisions", f"size at {image_size} px", "description"), rows))
    say("\ncombine two as G/D, such as autogan/adversarialnas; see one by its name")


def say_space(say: Say, name: str, image_size: int, as_json: bool) -> None:
    """One space: its size, what its networks cost, its cells drawn, all decisions.

    Raises NotFoundError, SpaceError: no such space, a file that describes none, an image size that does not fit.
    """
    from autogan_ray.cli.text import table
    from autogan_ray.results.drawing import WIDTH, draw_cell

    space = load_space(name)
    size, connected = space.size(image_size), space.connected_size(image_size)
    cost = _cost_range(space, image_size)
    if as_json:
        say(json.dumps(space.to_dict() | {"size": size, "connected": connected, "cost": cost}, indent=2))
        return
    say(textwrap.fill(f"{space.name}: {space.description}", WIDTH))
    share = "all" if connected == size else f"{_number_text(connected)} ({100 * connected / size:.3g} %)"
    say(f"{_number_text(size)} architectures at {image_size} px, {share} of them connected (no dead end)\n")
    rows = [
        (
            network,
            _span(cost[network]["params"], lambda count: f"{count:,}"),
            _span(cost[network]["macs"], lambda count: f"{count / 1e9:.6f}"),
        )
        for network in ("generator", "discriminator")
    ]
    say(table(("network", "parameters", "GMACs of one image"), rows))
    say(
        f"of connected networks with {cost['channels']} channels in G, {cost['channels_d']} in D, latent "
        f"{cost['latent_dim']}; which choices: --json\n"
    )
    say(draw_cell(space.generator, "g", image_size) + "\n")
    say(draw_cell(space.discriminator, "d", image_size) + "\n")
    say("\n".join(_decision_lines(space.decisions(image_size), WIDTH)))


def _number_text(number: int) -> str:
    return f"{number:,}" if number < 10**7 else f"10^{math.log10(number):.1f}"


def _span(ends: dict[str, Any], show: Callable[[int], str]) -> str:
    """``smallest to largest``, or one number where they are equal."""
    low, high = (show(ends[end]["value"]) for end in ("smallest", "largest"))
    return low if low == high else f"{low} to {high}"


def _cost_range(space: SearchSpace, image_size: int) -> dict[str, Any]:
    """The smallest and the largest connected networks at the widths of most publications, z as near to 120 as fits."""
    from autogan_ray.nets.cost.range import cost_range
    from autogan_ray.nets.gan import Shape

    parts = space.latent_parts(image_size)
    shape = Shape(image_size, 3, 256, 128, max(1, round(120 / parts)) * parts)
    found = cost_range(space, shape)
    return {
        "image_size": image_size,
        "image_channels": shape.image_channels,
        "channels": shape.channels_g,
        "channels_d": shape.channels_d,
        "latent_dim": shape.latent_dim,
        "generator": {what: asdict(found[f"{what}_g"]) for what in ("params", "macs")},
        "discriminator": {what: asdict(found[f"{what}_d"]) for what in ("params", "macs")},
    }


def _decision_lines(decisions: Sequence[Decision], width: int) -> list[str]:
    """All decisions by their full names; those of several cells that are equal stand together."""
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


def say_genotypes(say: Say, as_json: bool) -> None:
    """Every shipped genotype with its cost as published, and every published score with its protocol."""
    from autogan_ray.cli.text import table

    entries = all_published()
    costs = {entry.name: _cost(entry.genotype, *_widths(entry)) for entry in entries}
    if as_json:
        say(json.dumps([_entry(entry) | costs[entry.name] for entry in entries], indent=2))
        return
    rows = []
    for entry in entries:
        cost, size = costs[entry.name]["generator"], str(entry.genotype.image_size)
        line = (f"{cost['params'] / 1e6:.3f}", f"{cost['macs'] / 1e9:.3f}", entry.about.source)
        rows.append((entry.name, entry.genotype.space, size, *line))
    say(table(("genotype", "space", "px", "params/M", "GMACs", "source"), rows))
    say("params and MACs of the generator at the published width; the discriminator's: --json")
    say("\npublished scores, of other code and by the protocol they were published with")
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
    say(table(("genotype", "data", "IS", "FID", "fakes", "reals", "features"), reported))
    for note, index in numbered.items():
        say(f"[{index}] {note}")


def _with_spread(score: Score) -> str:
    spread = f" ± {score.inception_score_sd:.2f}" if score.inception_score_sd else ""
    return f"{score.inception_score:.2f}{spread}" if score.inception_score else ""


def _entry(entry: Published) -> dict[str, Any]:
    about = entry.about.model_dump(mode="json")
    return {"name": entry.name, "space": entry.genotype.space, "image_size": entry.genotype.image_size, **about}


def _widths(entry: Published) -> tuple[int, int, int]:
    return entry.about.channels_g, entry.about.channels_d, entry.about.latent_dim


def _cost(genotype: Genotype, channels_g: int, channels_d: int, latent_dim: int) -> dict[str, dict[str, int]]:
    """Parameters, and multiply-accumulates of one image, of both networks for images of three channels."""
    from autogan_ray.nets.cost.count import genotype_cost
    from autogan_ray.nets.gan import Shape

    shape = Shape(genotype.image_size, 3, channels_g, channels_d, latent_dim)
    cost = genotype_cost(space_of(genotype), shape, genotype)
    return {
        "generator": {"params": cost["params_g"], "macs": cost["macs_g"]},
        "discriminator": {"params": cost["params_d"], "macs": cost["macs_d"]},
    }


def say_genotype(
    say: Say,
    name: str,
    *,
    image_size: int | None,
    channels: int | None,
    channels_d: int | None,
    latent: int | None,
    as_json: bool,
) -> None:
    """One genotype drawn, with what both networks cost.

    Args:
        channels, latent: None takes the published ones, and 256 and 120 for a file. ``channels_d``: half of channels.

    Raises:
        NotFoundError, GenotypeError, ConfigError: no such genotype; it does not fit its space, the size or the latent.
    """
    from autogan_ray.results.drawing import draw

    published = load_published(name) if is_published(name) else None
    wide, narrow, length = _widths(published) if published else (256, 128, 120)
    found = load_genotype(name)
    genotype = space_of(found).resized(found, image_size or found.image_size)
    narrow = channels_d or (max(1, channels // 2) if channels else narrow)
    wide, length = channels or wide, latent or length
    cost = _cost(genotype, wide, narrow, length)
    if as_json:
        settings = {"channels": wide, "channels_d": narrow, "latent_dim": length}
        say(json.dumps({"name": name, **settings, "genotype": genotype.to_dict(), **cost}, indent=2))
        return
    say(draw(genotype))
    for network, width in (("generator", wide), ("discriminator", narrow)):
        numbers = cost[network]
        say(f"{network}: {numbers['params']:,} parameters, {numbers['macs'] / 1e9:.6f} GMACs at {width} channels")
    if published:
        say(f"{published.about.title}; {published.about.source}")


def say_recipes(say: Say, as_json: bool) -> None:
    """Every shipped recipe: what it is of, and what it sets."""
    from autogan_ray.cli.text import table
    from autogan_ray.config.recipe import all_recipes

    recipes = all_recipes()
    if as_json:
        say(
            json.dumps([{"name": name, **recipe.model_dump(mode="json")} for name, recipe in recipes.items()], indent=2)
        )
        return
    rows = []
    for name, recipe in recipes.items():
        set_to = recipe.retrain
        batches = f"{set_to.batch_size}/{set_to.batch_size_g}"
        widths = f"{set_to.channels_g}/{set_to.channels_d}"
        rows.append((name, f"{recipe.image_size} px", f"{set_to.kimg:g}", batches, widths, recipe.description))
    say(table(("recipe", "images", "kimg", "batch D/G", "width G/D", "description"), rows))
    say("\nuse one by autogan-ray retrain RESULTS --genotype NAME --recipe NAME; a file of your own: its path")
