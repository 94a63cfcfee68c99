"""Search spaces from files: by shipped name, by path, or as ``G/D`` from two files.

A file may describe one network alone; only a pair of both is a search space.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from autogan_ray.base import catalog
from autogan_ray.base.errors import NotFoundError, SpaceError
from autogan_ray.base.reading import parse_toml
from autogan_ray.base.value import Value
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.spaces.space import KINDS, DiscriminatorPart, GeneratorPart, SearchSpace


class _Document(Value):
    """A space file; it may hold one network only, for combining."""

    TAGS: ClassVar[frozenset[str]] = KINDS

    schema_: Literal[1]
    description: str = ""
    source: str = ""
    generator: GeneratorPart | None = None
    discriminator: DiscriminatorPart | None = None


def load_space(name: str | Path) -> SearchSpace:
    """Returns a search space by shipped name, by path, or combined as ``G/D``.

    Raises:
        NotFoundError: a name that is not shipped or a file that does not exist.
        SpaceError: a file that does not describe a space.
    """
    text = str(name)
    pair = _split_pair(text) if isinstance(name, str) else None
    if pair is None:
        document = _document(name)
        return _combined(catalog.read("space", name).name, document, document, text)
    generator, discriminator = (_document(part) for part in pair)
    return _combined(text, generator, discriminator, text)


def _split_pair(text: str) -> tuple[str, str] | None:
    """Returns the halves of ``G/D`` where G is a shipped name or a TOML file; None for a single name or path."""
    shipped = catalog.names("space")
    for at in (index for index, letter in enumerate(text) if letter == "/"):
        left, right = text[:at], text[at + 1 :]
        if left in shipped or left.endswith(".toml"):
            return left, right
    parts = text.split("/")
    # A lone pair of plain words can only be meant as G/D: let the unknown half be named.
    return (parts[0], parts[1]) if len(parts) == 2 and all(parts) and not text.endswith(".toml") else None


def _document(name: str | Path) -> _Document:
    entry = catalog.read("space", name)
    values = parse_toml(entry.text, entry.origin, SpaceError)
    if "schema" in values:
        values["schema_"] = values.pop("schema")
    else:
        raise SpaceError(f"{entry.origin}: key 'schema' is missing; this version reads schema = 1")
    return _Document.parse(values, entry.origin, SpaceError)


def _combined(name: str, first: _Document, second: _Document, asked: str) -> SearchSpace:
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
    """Returns the shipped space that a genotype names. Raises NotFoundError saying how to give a user's own."""
    try:
        return load_space(genotype.space)
    except NotFoundError as error:
        raise NotFoundError(f"the genotype's space: {error}") from error
