"""What all baselines ask of their settings; each rule is checked when a network is built."""

from __future__ import annotations

from autogan_ray.base.errors import ConfigError
from autogan_ray.spaces.sizes import generator_cells


def check_images(image_size: int, image_channels: int) -> None:
    """Raises SpaceError for a side that cannot be doubled to, ConfigError for other than 1 or 3 channels."""
    generator_cells(image_size)
    if image_channels not in (1, 3):
        near = 1 if image_channels < 2 else 3
        raise ConfigError(f"image_channels = {image_channels}: images have 1 or 3; the nearest right value is {near}")


def check_least(name: str, value: int, least: int, because: str) -> None:
    """Raises ConfigError where ``value`` is below ``least``; ``because`` is the rule, as a clause."""
    if value < least:
        raise ConfigError(f"{name} = {value}: {because}; the nearest right value is {least}")
