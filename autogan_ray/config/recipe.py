"""Published training settings as named presets: a recipe stands in for a study's section ``[retrain]``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt

from autogan_ray.base import catalog
from autogan_ray.base.errors import ConfigError
from autogan_ray.base.value import Value, parse_toml
from autogan_ray.config.sections import RetrainConfig


class Recipe(Value):
    """A recipe file."""

    schema_: Literal[1] = Field(alias="schema")
    description: str
    source: str
    image_size: PositiveInt
    """Side in pixels of the images it was published for."""
    retrain: RetrainConfig


def load_recipe(name: str | Path) -> Recipe:
    """A recipe by shipped name or by path (ending ``.toml``).

    Raises:
        NotFoundError: no such recipe.
        ConfigError: not TOML, unknown keys, wrong types or ranges.
    """
    found = catalog.read("recipe", name)
    return Recipe.parse(parse_toml(found.text, found.origin, ConfigError), found.origin, ConfigError)


def all_recipes() -> dict[str, Recipe]:
    """Every shipped recipe by name, sorted."""
    return {name: load_recipe(name) for name in catalog.names("recipe")}
