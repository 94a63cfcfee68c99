"""What all baselines ask of their settings; each rule is checked when a network is built."""

from __future__ import annotations

from autogan_ray.base.errors import ConfigError
from autogan_ray.spaces.sizes import generator_cells


def check_settings(image_size: int, image_channels: int, channels: int, latent_dim: int = 1, classes: int = 0) -> None:
    """Raises SpaceError for a side that cannot be doubled to, ConfigError for other settings that no network has."""
    generator_cells(image_size)
    if image_channels not in (1, 3):
        near = 1 if image_channels < 2 else 3
        raise ConfigError(f"image_channels = {image_channels}: images have 1 or 3; the nearest right value is {near}")
    check_least("channels", channels, 1, "maps have at least one channel")
    check_least("latent_dim", latent_dim, 1, "z has at least one number")
    check_least("classes", classes, 0, "a network has no classes or some")


def check_least(name: str, value: int, least: int, because: str) -> None:
    """Raises ConfigError where ``value`` is below ``least``; ``because`` is the rule, as a clause."""
    if value < least:
        raise ConfigError(f"{name} = {value}: {because}; the nearest right value is {least}")
