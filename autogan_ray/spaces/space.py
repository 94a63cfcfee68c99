"""A search space: a named list of decisions for the generator and for the discriminator.

A space is a value: it survives dict -> value -> dict, has equality and a digest, and knows nothing of torch.
The number of cells, and with it the decisions, follows from the image size.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from autogan_ray.base.errors import ConfigError, GenotypeError, SpaceError, nearest
from autogan_ray.base.value import Value
from autogan_ray.spaces.blocks import BlockPart, FixedPart, WholePart
from autogan_ray.spaces.dag import DagPart
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.spaces.part import Decision, Part
from autogan_ray.spaces.sizes import generator_cells

GeneratorPart = Annotated[DagPart | BlockPart | WholePart, Field(discriminator="kind")]
DiscriminatorPart = Annotated[DagPart | FixedPart | WholePart, Field(discriminator="kind")]
KINDS = frozenset({"dag", "autogan_block", "autogan_fixed", "whole"})
"""What a part's key ``kind`` may say."""


class SearchSpace(Value):
    """Both networks' parts under one name (``G/D`` where they come from two files)."""

    TAGS: ClassVar[frozenset[str]] = KINDS

    name: str
    description: str = ""
    generator: GeneratorPart
    discriminator: DiscriminatorPart

    @model_validator(mode="after")
    def _parts_fit_their_networks(self) -> Self:
        for network, part in self.networks.items():
            part.check_role(network)
        return self

    @property
    def networks(self) -> dict[str, Part]:
        """``g`` and ``d`` -> the part that describes the network."""
        return {"g": self.generator, "d": self.discriminator}

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

    def decisions(self, image_size: int, network: str | None = None) -> tuple[Decision, ...]:
        """Returns the decisions of one network (``g`` or ``d``), or of both, cell by cell in the order of the file.

        Args:
            image_size: side in pixels. Raises SpaceError for a size at which the space cannot be built.
        """
        parts = self.networks if network is None else {network: self.networks[network]}
        try:
            return tuple(decision for name, part in parts.items() for decision in part.decisions(name, image_size))
        except SpaceError as error:
            raise SpaceError(f"space {self.name!r}: {error}") from error

    def takes_classes(self, choices: Mapping[str, str]) -> bool:
        """Whether both networks of these choices are class-conditional where the data set has labels."""
        return all(choices.get(f"{network}.whole.network") in WholePart.CONDITIONAL for network in ("g", "d"))

    def latent_parts(self, image_size: int) -> int:
        """Returns into how many equal parts G cuts z: 1, or one a cell, or what the space says for this image size.

        Raises SpaceError for a size that no cell reaches.
        """
        generator_cells(image_size)
        return self.generator.latent_pieces(image_size)

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
        """Returns the number of choice combinations, G times D (disconnected ones included, as the papers count)."""
        return math.prod(len(decision.choices) for decision in self.decisions(image_size))

    def connected_size(self, image_size: int) -> int:
        """Returns how many of these combinations have no dead end. Raises SpaceError."""
        return math.prod(part.connected(image_size) for part in self.networks.values())

    def dead_ends(self, choices: Mapping[str, str], image_size: int) -> list[tuple[str, int, str]]:
        """Returns (network, cell, node) of every node that is needed or read and has no live input.

        Args:
            choices: decision -> choice, of both networks or of one alone.
        """
        ends = []
        for network, part in self.networks.items():
            for layout in part.layout(image_size):
                lead = layout.lead(network)
                names = [decision.name for decision in part.decided(layout) if lead + decision.name in choices]
                if names:
                    own = {name: choices[lead + name] for name in names}
                    ends += [(network, layout.number, node) for node in part.dead_ends(layout, own)]
        return ends

    def check(self, genotype: Genotype) -> None:
        """Raises GenotypeError unless the genotype makes one known choice at each decision and is connected."""
        for what, given, decisions in (
            ("generator", genotype.generator, self.decisions(genotype.image_size, "g")),
            ("discriminator", genotype.discriminator, self.decisions(genotype.image_size, "d")),
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
        for network, cell, node in self.dead_ends(genotype.choices, genotype.image_size):
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
            if not self.dead_ends(choices, image_size):
                return self.genotype(choices, image_size)

    def genotype(self, choices: dict[str, str], image_size: int) -> Genotype:
        """Put choices (decision -> choice, both networks) into the order of the space."""
        parts = [
            tuple((decision.name, choices[decision.name]) for decision in decisions)
            for decisions in (self.decisions(image_size, network) for network in self.networks)
        ]
        return Genotype(self.name, image_size, *parts)
