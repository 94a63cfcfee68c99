"""The genotypes that were published: files like a user's own, with where they come from and what was reported.

A score never stands without its protocol: how many images of which kind, and whose features.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, PositiveFloat, PositiveInt

from autogan_ray.base import catalog
from autogan_ray.base.errors import GenotypeError
from autogan_ray.base.value import Value
from autogan_ray.spaces.genotype import Genotype


class Score(Value):
    """One published result of a network trained from scratch."""

    dataset: str
    image_size: PositiveInt
    """Side in pixels."""
    inception_score: PositiveFloat | None = None
    inception_score_sd: PositiveFloat | None = None
    fid: PositiveFloat | None = None
    n_fake: PositiveInt
    n_real: PositiveInt
    features: str
    """Whose features: an FID from other weights is another number."""
    note: str = ""


class About(Value):
    """What a shipped genotype's file says beside the decisions."""

    title: str
    source: str
    channels_g: PositiveInt
    channels_d: PositiveInt
    latent_dim: PositiveInt
    """Widths and length of z of the published training on CIFAR-10."""
    scores: tuple[Score, ...] = Field(default=())


@dataclass(frozen=True)
class Published:
    """A shipped genotype with what its file says about it."""

    name: str
    genotype: Genotype
    about: About


def load_genotype(name: str | Path) -> Genotype:
    """Returns a genotype by shipped name (``autogan-a``) or by path (ending ``.json``).

    Raises:
        NotFoundError: a name that is not shipped, with the nearest; or a file that does not exist.
        GenotypeError: a file that is no genotype.
    """
    entry = catalog.read("genotype", name)
    return Genotype.from_json(entry.text, entry.origin)


def is_published(name: str | Path) -> bool:
    """Returns whether a genotype is shipped under this name."""
    return str(name) in catalog.names("genotype")


def load_published(name: str) -> Published:
    """Returns a shipped genotype with what its file says. Raises NotFoundError."""
    entry = catalog.read("genotype", name)
    about = About.parse(json.loads(entry.text)["about"], entry.origin, GenotypeError)
    return Published(name, Genotype.from_json(entry.text), about)


def all_published() -> tuple[Published, ...]:
    """Returns every shipped genotype, sorted by name."""
    return tuple(load_published(name) for name in catalog.names("genotype"))
