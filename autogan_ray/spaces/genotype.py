"""A genotype: decision name -> choice, for the generator and for the discriminator.

It is a value: equality, hash, JSON round trip, a short stable id. It knows its space by name only;
``SearchSpace.check`` says whether it fits one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autogan_ray.base.errors import GenotypeError
from autogan_ray.base.reading import parse_json

FORMAT = "autogan_ray.genotype/1"
_KEYS = ("format", "space", "image_size", "generator", "discriminator")
_ABOUT = "about"
"""A file may say more under this key: source, published scores. It is no part of the value."""


@dataclass(frozen=True)
class Genotype:
    """One choice for each decision of both networks.

    Args:
        space: name of the space the decisions belong to, written ``G/D`` where the parts differ.
        image_size: side of the images in pixels; it fixes the number of cells.
        generator: pairs (decision, choice) of G, in the order of the space.
        discriminator: the same of D; empty for a fixed discriminator.
    """

    space: str
    image_size: int
    generator: tuple[tuple[str, str], ...]
    discriminator: tuple[tuple[str, str], ...] = ()

    @property
    def choices(self) -> dict[str, str]:
        """All decisions of both networks in one dict; names are unique, as ``g.`` and ``d.`` lead them."""
        return dict(self.generator) | dict(self.discriminator)

    @property
    def genotype_id(self) -> str:
        """First 12 hex digits of the sha256 of what is decided (not of the space's name)."""
        text = json.dumps([self.image_size, sorted(self.choices.items())], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "space": self.space,
            "image_size": self.image_size,
            "generator": dict(self.generator),
            "discriminator": dict(self.discriminator),
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Genotype:
        """Raises GenotypeError for missing, unknown or wrongly typed entries."""
        if not isinstance(values, Mapping):
            raise GenotypeError(f"a genotype file holds one JSON object, not a {type(values).__name__}")
        if values.get("format") != FORMAT:
            raise GenotypeError(f"format is {values.get('format')!r}; a genotype file says {FORMAT!r}")
        for key in _KEYS:
            if key not in values:
                raise GenotypeError(f"key {key!r} is missing; a genotype has {', '.join(_KEYS)}")
        for key in values:
            if key not in (*_KEYS, _ABOUT):
                raise GenotypeError(f"unknown key {key!r}; a genotype has {', '.join(_KEYS)}")
        if not isinstance(values["image_size"], int) or isinstance(values["image_size"], bool):
            raise GenotypeError(f"image_size is {values['image_size']!r}; it is a whole number of pixels")
        if not isinstance(values["space"], str):
            raise GenotypeError(f"space is {values['space']!r}; it is a name")
        parts = [_pairs(key, values[key]) for key in ("generator", "discriminator")]
        return cls(values["space"], values["image_size"], *parts)

    @classmethod
    def from_json(cls, text: str | bytes, where: str | Path = "a genotype") -> Genotype:
        """Raises GenotypeError also for a decision that stands twice, which ``json`` would drop silently.

        Args:
            where: the file or table that holds the text, for the message.
        """
        values = parse_json(text, where, GenotypeError, pairs=_no_doubles)
        try:
            return cls.from_dict(values)
        except GenotypeError as error:
            raise GenotypeError(f"{where}: {error}") from error


def _pairs(key: str, value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, Mapping):
        raise GenotypeError(f"{key} is {value!r}; it is an object of decision: choice")
    for name, choice in value.items():
        if not isinstance(choice, str):
            raise GenotypeError(f"{key}: decision {name!r} has {choice!r}; a choice is a name")
    return tuple(value.items())


def _no_doubles(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise GenotypeError(f"decision or key {key!r} stands twice")
        result[key] = value
    return result
