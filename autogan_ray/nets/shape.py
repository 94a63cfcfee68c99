"""What a network needs to know besides the space and its choices: image size, widths, length of z, classes."""

from __future__ import annotations

from dataclasses import dataclass

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.sections import ModelConfig


@dataclass(frozen=True)
class Shape:
    """The fixed parts around the decisions.

    Args:
        image_size: side in pixels.
        image_channels: 1 or 3.
        channels_g, channels_d: width of all cells of G and of D.
        latent_dim: length of z.
        norm_g: normalisation in G's DAG cells, ``none`` or ``batch``; None takes the space's.
        head_d: ``sum`` over the last map (published) or ``flatten`` it, before D's linear layer.
        spectral_norm_d: whether D's weights are divided by their spectral norms wherever the networks have such.
        class_shares: the fraction of the data that each class makes up, for class-conditional networks; else empty.

    Raises:
        ConfigError: a number below 1.
    """

    image_size: int
    image_channels: int = 3
    channels_g: int = 256
    channels_d: int = 128
    latent_dim: int = 128
    norm_g: str | None = None
    head_d: str = "sum"
    spectral_norm_d: bool = True
    class_shares: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("image_channels", "channels_g", "channels_d", "latent_dim"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}: it is a number of at least 1")

    @classmethod
    def of(cls, model: ModelConfig, image_size: int, image_channels: int, spectral_norm_d: bool = True) -> Shape:
        """The shape of a search's networks, from the section ``[model]`` and the images of the data."""
        return cls(image_size, image_channels, **model.model_dump(), spectral_norm_d=spectral_norm_d)
