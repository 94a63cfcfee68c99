"""A search space: a named list of decisions for the generator and for the discriminator.

A space is a value: it survives dict -> value -> dict, has equality and a digest, and knows nothing of torch.
The number of cells, and with it the decisions, follows from the image size.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from autogan_ray.base import catalog
from autogan_ray.base.errors import ConfigError, GenotypeError, NotFoundError, SpaceError, nearest
from autogan_ray.base.value import Value, parse_toml
from autogan_ray.spaces.blocks import BlockPart, DiscriminatorPart, FixedPart, GeneratorPart, WholePart
from autogan_ray.spaces.connectivity import dead_ends
from autogan_ray.spaces.dag import INPUT, DagPart
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.spaces.operations import OPERATIONS
from autogan_ray.spaces.part import Decision
from autogan_ray.spaces.sizes import CellLayout, generator_cells, generator_layout


class _Document(Value):
    """A space file; it may hold one network only, for combining."""

    TAGS: ClassVar[frozenset[str]] = frozenset({"dag", "autogan_block", "autogan_fixed", "whole"})

    schema_: Literal[1]
    description: str = ""
    source: str = ""
    generator: GeneratorPart | None = None
    discriminator: DiscriminatorPart | None = None


class SearchSpace(Value):
    """Both networks' parts under one name (``G/D`` where they come from two files)."""

    TAGS: ClassVar[frozenset[str]] = _Document.TAGS

    name: str
    description: str = ""
    generator: GeneratorPart
    discriminator: DiscriminatorPart

    @model_validator(mode="after")
    def _parts_fit_their_networks(self) -> Self:
        if isinstance(self.generator, DagPart):
            if self.generator.output_level != 1:
                raise ValueError("generator: a cell must double the image side on its way to the output")
            for key in ("first_block", "cells", "halvings"):
                if getattr(self.generator, key) is not None:
                    raise ValueError(f"generator: {key} is for discriminators")
            if self.generator.norm == "spectral":
                raise ValueError("generator: norm 'spectral' is for discriminators; use 'none' or 'batch'")
        if isinstance(self.discriminator, WholePart) and "stylegan2" in self.discriminator.networks:
            raise ValueError("discriminator: network 'stylegan2' is a generator only; there are 'dcgan' and 'biggan'")
        if isinstance(self.discriminator, DagPart):
            if self.discriminator.output_level != -1:
                raise ValueError("discriminator: a cell must halve the image side on its way to the output")
            if self.discriminator.cell.skip_in is not None:
                raise ValueError("discriminator: skip_in is for generators")
            for edge in () if self.discriminator.first_block else self.discriminator.edges(CellLayout(1, -1)):
                for operation in self.discriminator.choices[edge.choices]:
                    if edge.source == INPUT and not OPERATIONS[operation].projects:
                        raise ValueError(
                            f"discriminator: first_cell.{edge.name} reads the image, so {operation!r} (which keeps "
                            "the number of channels) cannot stand there; give it a list of convolutions"
                        )
        return self

    @property
    def digest(self) -> str:
        """sha256 of what is searched, not of the name or the description."""
        content = self.model_dump(mode="json", by_alias=True, include={"generator", "discriminator"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)

    @classmethod
    def from_dict(cls, values: Any, where: str = "search space") -> SearchSpace:
        """Raises SpaceError."""
        return cls.parse(values, where, SpaceError)

    def decisions_g(self, image_size: int) -> tuple[Decision, ...]:
        """The generator's decisions, cell by cell, in the order of the file."""
        part = self.generator
        if isinstance(part, WholePart):
            return (Decision("g.whole.network", part.networks),)
        return _named("g", part, generator_layout(image_size))

    def decisions_d(self, image_size: int) -> tuple[Decision, ...]:
        """The discriminator's decisions; none for a fixed one."""
        part = self.discriminator
        if isinstance(part, FixedPart):
            return ()
        if isinstance(part, WholePart):
            return (Decision("d.whole.network", part.networks),)
        return _named("d", part, part.layout_d(image_size))

    def takes_classes(self, choices: Mapping[str, str]) -> bool:
        """Whether both networks of these choices are class-conditional where the data set has labels."""
        return all(choices.get(f"{network}.whole.network") in WholePart.CONDITIONAL for network in ("g", "d"))

    def decisions(self, image_size: int) -> tuple[Decision, ...]:
        return self.decisions_g(image_size) + self.decisions_d(image_size)

    def latent_parts(self, image_size: int) -> int:
        """Into how many equal parts G cuts z: 1, or one a cell, or what the space says for this image size."""
        _, cells = generator_cells(image_size)
        if not isinstance(self.generator, DagPart) or self.generator.latent_parts == "one":
            return 1
        return min(self.generator.latent_parts_at.get(str(image_size), cells), cells)

    def check_latent_dim(self, latent_dim: int, image_size: int) -> None:
        """Raises ConfigError for a z that does not divide into its parts."""
        parts = self.latent_parts(image_size)
        if latent_dim % parts:
            near = max(parts, round(latent_dim / parts) * parts)
            raise ConfigError(
                f"latent_dim = {latent_dim}: space {self.name!r} cuts z into {parts} equal parts at {image_size} px; "
                f"the nearest length that fits is {near}"
            )

    def size(self, image_size: int) -> int:
        """Number of choice combinations, G times D (disconnected ones included, as the papers count)."""
        return math.prod(len(decision.choices) for decision in self.decisions(image_size))

    def check(self, genotype: Genotype) -> None:
        """Raises GenotypeError unless the genotype makes one known choice at each decision and is connected."""
        for what, given, decisions in (
            ("generator", genotype.generator, self.decisions_g(genotype.image_size)),
            ("discriminator", genotype.discriminator, self.decisions_d(genotype.image_size)),
        ):
            known = {decision.name: decision for decision in decisions}
            chosen = dict(given)
            where = f"genotype of space {genotype.space!r} against space {self.name!r}, {what}"
            for name, choice in given:
                if name not in known:
                    raise GenotypeError(f"{where}: no decision {name!r} here; {nearest(name, known)}")
                if choice not in known[name].choices:
                    hint = nearest(choice, known[name].choices)
                    raise GenotypeError(f"{where}: {name} = {choice!r} is not a choice; {hint}")
            missing = [name for name in known if name not in chosen]
            if missing:
                raise GenotypeError(f"{where}: no choice for {', '.join(missing)}")
        for network, cell, node in dead_ends(self, genotype.choices, genotype.image_size):
            raise GenotypeError(
                f"genotype of space {genotype.space!r}: node {node!r} of {network}.cell{cell} has no input: all edges "
                "to it are 'none'"
            )

    def resized(self, genotype: Genotype, image_size: int) -> Genotype:
        """The same decisions for images of another size, where the networks have as many cells there.

        Raises GenotypeError where they have not, or where the genotype does not fit the space.
        """
        self.check(genotype)
        here, there = ([d.name for d in self.decisions(size)] for size in (genotype.image_size, image_size))
        if here != there:
            raise GenotypeError(
                f"genotype of space {genotype.space!r} is for {genotype.image_size} px and cannot serve "
                f"{image_size} px: it makes {len(here)} decisions, and {len(there)} are open there; give it images "
                f"of {genotype.image_size} px"
            )
        return replace(genotype, image_size=image_size)

    def random(self, image_size: int, seed: int) -> Genotype:
        """A genotype drawn uniformly from the connected ones (by rejection, so exactly uniform)."""
        rng = random.Random(f"genotype {seed}")
        while True:
            choices = {d.name: rng.choice(d.choices) for d in self.decisions(image_size)}
            if not dead_ends(self, choices, image_size):
                return self.genotype(choices, image_size)

    def genotype(self, choices: dict[str, str], image_size: int) -> Genotype:
        """Put choices (decision -> choice, both networks) into the order of the space."""
        parts = [
            tuple((decision.name, choices[decision.name]) for decision in decisions)
            for decisions in (self.decisions_g(image_size), self.decisions_d(image_size))
        ]
        return Genotype(self.name, image_size, *parts)


def _named(network: str, part: DagPart | BlockPart, layouts: Iterable[CellLayout]) -> tuple[Decision, ...]:
    """The decisions of all cells, with the network and the cell before their names."""
    return tuple(
        replace(decision, name=f"{network}.cell{cell.number}.{decision.name}")
        for cell in layouts
        for decision in part.decided(cell)
    )


def load_space(name: str | Path) -> SearchSpace:
    """A search space by shipped name, by path, or combined as ``G/D``.

    Raises:
        NotFoundError: a name that is not shipped or a file that does not exist.
        SpaceError: a file that does not describe a space.
    """
    text = str(name)
    pair = _split_pair(text) if isinstance(name, str) else None
    if pair is None:
        document = _document(name)
        return _combine(catalog.read("space", name).name, document, document, text)
    generator, discriminator = (_document(part) for part in pair)
    return _combine(text, generator, discriminator, text)


def _split_pair(text: str) -> tuple[str, str] | None:
    """``G/D`` where G is a shipped name or a TOML file; None for a single name or path."""
    shipped = catalog.names("space")
    for at in (index for index, letter in enumerate(text) if letter == "/"):
        left, right = text[:at], text[at + 1 :]
        if left in shipped or left.endswith(".toml"):
            return left, right
    parts = text.split("/")
    # A lone pair of plain words can only be meant as G/D: let the unknown half be named.
    return (parts[0], parts[1]) if len(parts) == 2 and all(parts) and not text.endswith(".toml") else None


def _document(name: str | Path) -> _Document:
    found = catalog.read("space", name)
    values = parse_toml(found.text, found.origin, SpaceError)
    if "schema" in values:
        values["schema_"] = values.pop("schema")
    else:
        raise SpaceError(f"{found.origin}: key 'schema' is missing; this version reads schema = 1")
    return _Document.parse(values, found.origin, SpaceError)


def _combine(name: str, first: _Document, second: _Document, asked: str) -> SearchSpace:
    if first.generator is None:
        raise SpaceError(
            f"space {asked!r}: it has no [generator] of its own; put one before a slash, as in 'autogan/{asked}'"
        )
    if second.discriminator is None:
        raise SpaceError(f"space {asked!r}: it has no [discriminator]; add one after a slash, as in '{asked}/fixed'")
    same = first is second
    values = {
        "name": name,
        "description": first.description if same else f"{first.description} | {second.description}",
        "generator": first.generator.model_dump(by_alias=True),
        "discriminator": second.discriminator.model_dump(by_alias=True),
    }
    return SearchSpace.parse(values, f"space {asked!r}", SpaceError)


def space_of(genotype: Genotype) -> SearchSpace:
    """The shipped space that a genotype names. Raises NotFoundError saying how to give a user's own."""
    try:
        return load_space(genotype.space)
    except NotFoundError as error:
        raise NotFoundError(f"the genotype's space: {error}") from error
