"""R3GAN (Huang et al., NeurIPS 2024) at the scale of CIFAR images, without classes.

Residual blocks of today on both sides: an inverted bottleneck whose middle convolution is grouped, leaky ReLUs, no norm
at all, first weights by which every block begins as the identity ("Config E"). It is published for the objective
``relativistic`` with gradient penalties and without spectral norm (docs/objectives.md).
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from autogan_ray.nets.baselines._rules import check_settings
from autogan_ray.nets.baselines.precision import at_full_precision
from autogan_ray.nets.ops import groups_of
from autogan_ray.spaces.sizes import generator_cells

BLOCKS = 2
"""Residual blocks at each side of the maps."""
EXPANSION = 2
"""Channels within a block, as a multiple of its width."""
SLOPE = 0.2
_GAIN = math.sqrt(2 / (1 + SLOPE**2))

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class Resample(nn.Module):
    """Maps [B, C, H, W] to twice or half the side, bilinear: weights 1, 3, 3, 1 each way, zeros beyond the edge."""

    kernel: Tensor

    def __init__(self, up: bool) -> None:
        super().__init__()
        self.up = up
        weights = torch.tensor([1.0, 3.0, 3.0, 1.0]) / (4.0 if up else 8.0)
        self.register_buffer("kernel", torch.outer(weights, weights)[None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        resampled = functional.conv_transpose2d if self.up else functional.conv2d
        return resampled(x, self.kernel.expand(channels, 1, 4, 4), stride=2, padding=1, groups=channels)


class ResidualBlock(nn.Module):
    """x [B, C, H, W] -> x + project(act(grouped(act(expand(x))))): 1x1, grouped 3x3 and 1x1 convolutions.

    ``blocks`` are those of the whole network: by the variance of their branches' first weights, and by the last
    convolution that starts at 0, a signal keeps its size through all of them (fixup, Zhang et al., ICLR 2019).
    """

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        inner = EXPANSION * channels
        self.expand = nn.Conv2d(channels, inner, 1)
        self.grouped = nn.Conv2d(inner, inner, 3, padding=1, groups=groups_of(inner))
        self.project = nn.Conv2d(inner, channels, 1, bias=False)
        for layer in (self.expand, self.grouped):
            _start(layer, _GAIN * blocks**-0.25)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.project.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.leaky_relu(self.expand(x), SLOPE)
        y = functional.leaky_relu(self.grouped(y), SLOPE)
        return x + self.project(y)


class R3GanGenerator(nn.Module):
    """z [B, latent_dim] -> images [B, image_channels, image_size, image_size] in [-1, 1].

    The bottom map is a learned basis of one map a channel, scaled by a linear layer of z. tanh, which the published
    network lacks, keeps images in range as those of all other generators here.

    Raises SpaceError or ConfigError for settings that cannot be built.
    """

    stochastic = False
    classes = 0

    def __init__(self, image_size: int, image_channels: int, channels: int, latent_dim: int) -> None:
        super().__init__()
        check_settings(image_size, image_channels, channels, latent_dim)
        self.latent_dim = latent_dim
        bottom, doublings = generator_cells(image_size)
        self.basis = nn.Parameter(torch.randn(channels, bottom, bottom))
        self.latent = _start(nn.Linear(latent_dim, channels, bias=False))
        self.stages = nn.ModuleList(_stage(channels, doublings + 1) for _ in range(doublings + 1))
        self.up = Resample(up=True)
        self.to_image = _start(nn.Conv2d(channels, image_channels, 1, bias=False))

    def forward(self, z: Tensor) -> Tensor:
        x = self.basis * self.latent(z)[:, :, None, None]
        for index, stage in enumerate(self.stages):
            x = stage(self.up(x) if index else x)
        return torch.tanh(self.to_image(x))


class R3GanDiscriminator(nn.Module):
    """Images [B, image_channels, image_size, image_size] in [-1, 1] -> scores [B], unbounded; the generator reversed.

    Its head weighs the last map with one basis a channel, and the results with one another. No spectral norm.

    Raises SpaceError or ConfigError for settings that cannot be built.
    """

    stochastic = False
    classes = 0

    def __init__(self, image_size: int, image_channels: int, channels: int) -> None:
        super().__init__()
        check_settings(image_size, image_channels, channels)
        bottom, halvings = generator_cells(image_size)
        self.from_image = _start(nn.Conv2d(image_channels, channels, 1, bias=False))
        self.stages = nn.ModuleList(_stage(channels, halvings + 1) for _ in range(halvings + 1))
        self.down = Resample(up=False)
        self.basis = _start(nn.Conv2d(channels, channels, bottom, groups=channels, bias=False))
        self.head = _start(nn.Linear(channels, 1, bias=False))

    def forward(self, images: Tensor) -> Tensor:
        x = self.from_image(images)
        for index, stage in enumerate(self.stages):
            x = stage(self.down(x) if index else x)
        return at_full_precision(lambda x: self.head(self.basis(x).flatten(1)).squeeze(1), x)


def _stage(channels: int, stages: int) -> nn.Sequential:
    """Returns the blocks at one side of the maps, of a network that has so many sides."""
    return nn.Sequential(*(ResidualBlock(channels, stages * BLOCKS) for _ in range(BLOCKS)))


def _start(layer: Layer, gain: float = 1.0) -> Layer:
    """Returns a layer whose first weights keep the second moment of its input, times ``gain`` squared."""
    nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.weight[0].numel()))
    return layer
