"""Published training settings as named presets: a recipe stands in for a study's section ``[retrain]``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt

from autogan_ray.base import catalog
from autogan_ray.base.errors import ConfigError
from autogan_ray.base.reading import parse_toml
from autogan_ray.base.value import Value
from autogan_ray.config.sections import RetrainConfig


class Recipe(Value):
    """A recipe file: a section ``[retrain]`` with its source."""

    schema_: Literal[1] = Field(alias="schema")
    description: str
    source: str
    image_size: PositiveInt
    """Side in pixels of the images for which the settings were published."""
    retrain: RetrainConfig


def load_recipe(name: str | Path) -> Recipe:
    """Returns a recipe by its shipped name or by its path (ending ``.toml``).

    Raises:
        NotFoundError: there is no such recipe.
        ConfigError: the file is not TOML, or has unknown keys, wrong types or ranges.
    """
    document = catalog.read("recipe", name)
    return Recipe.parse(parse_toml(document.text, document.origin, ConfigError), document.origin, ConfigError)


def all_recipes() -> dict[str, Recipe]:
    """Returns every shipped recipe by its name, sorted."""
    return {name: load_recipe(name) for name in catalog.names("recipe")}
