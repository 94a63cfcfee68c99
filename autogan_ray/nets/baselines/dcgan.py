"""DCGAN (Radford, Metz and Chintala, ICLR 2016, section 3 and figure 1): strided convolutions only.

Where we differ: the discriminator has spectral normalisation (Miyato et al., ICLR 2018) in place of batch norm. D sees
real and fake images in one pass, and batch statistics of that mixture would tell it about the other images of the
batch; it is also what the hinge loss is used with.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

from torch import Tensor, nn

from autogan_ray.nets.baselines._rules import check_settings
from autogan_ray.nets.baselines.precision import at_full_precision
from autogan_ray.nets.ops import batch_norm
from autogan_ray.nets.spectral import spectral
from autogan_ray.spaces.sizes import discriminator_cells, generator_cells

LEAST_WIDTH = 4
"""Channels are halved towards the image, but not below this, as wide images would be left with one or two."""

LayerT = TypeVar("LayerT", nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


class DcganGenerator(nn.Module):
    """z [B, latent_dim] -> images [B, image_channels, image_size, image_size] in [-1, 1].

    A linear layer to ``channels`` maps at the bottom width, then one 4x4 transposed convolution of stride 2 a doubling;
    batch norm and ReLU after each but the last, which is followed by tanh. Channels are halved at each doubling.

    Raises SpaceError or ConfigError for settings that cannot be built.
    """

    stochastic = False
    classes = 0

    def __init__(self, image_size: int, image_channels: int, channels: int, latent_dim: int) -> None:
        super().__init__()
        check_settings(image_size, image_channels, channels, latent_dim)
        self.latent_dim = latent_dim
        self._bottom, doublings = generator_cells(image_size)
        widths = [_halved(channels, times) for times in range(doublings)]
        # Layers before a batch norm have no bias: it would be subtracted again.
        self.project = _drawn(nn.Linear(latent_dim, channels * self._bottom**2, bias=False))
        layers: list[nn.Module] = [batch_norm(channels), nn.ReLU()]
        for c_in, c_out in pairwise(widths):
            up = nn.ConvTranspose2d(c_in, c_out, 4, stride=2, padding=1, bias=False)
            layers += [_drawn(up), batch_norm(c_out), nn.ReLU()]
        layers += [_drawn(nn.ConvTranspose2d(widths[-1], image_channels, 4, stride=2, padding=1)), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(self.project(z).view(len(z), -1, self._bottom, self._bottom))


class DcganDiscriminator(nn.Module):
    """Images [B, image_channels, image_size, image_size] in [-1, 1] -> scores [B], unbounded.

    One 4x4 convolution of stride 2 a halving, each with spectral norm and followed by LeakyReLU(0.2); channels double
    up to ``channels`` at the last, whose map is flattened into a linear layer.

    Raises SpaceError or ConfigError for settings that cannot be built.
    """

    stochastic = False
    classes = 0

    def __init__(self, image_size: int, image_channels: int, channels: int) -> None:
        super().__init__()
        check_settings(image_size, image_channels, channels)
        halvings = discriminator_cells(image_size)
        widths = [image_channels, *(_halved(channels, times) for times in reversed(range(halvings)))]
        layers: list[nn.Module] = []
        for c_in, c_out in pairwise(widths):
            layers += [spectral(_drawn(nn.Conv2d(c_in, c_out, 4, stride=2, padding=1))), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.head = spectral(_drawn(nn.Linear(channels * (image_size // 2**halvings) ** 2, 1)))

    def forward(self, images: Tensor) -> Tensor:
        return at_full_precision(lambda x: self.head(x.flatten(1)).squeeze(1), self.layers(images))


def _halved(channels: int, times: int) -> int:
    return min(channels, max(channels // 2**times, LEAST_WIDTH))


def _drawn(layer: LayerT) -> LayerT:
    """The layer with weights from N(0, 0.02^2), as in section 4 of the paper, and no offset at first."""
    nn.init.normal_(layer.weight, std=0.02)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
