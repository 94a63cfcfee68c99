"""StyleGAN2's generator (Karras et al., CVPR 2020, figures 2d and 7b) at the scale of CIFAR images.

Depth and widths are those of the CIFAR configuration of StyleGAN2-ADA (Karras et al., NeurIPS 2020): two mapping
layers, w as long as the maps are wide (512 there), and the same width at all sides. Where we differ:

* Up-sampling is bilinear, corners not aligned, before the convolution: the paper's [1, 3, 3, 1] filter but for the
  outermost pixels, which are repeated and not faded to zero.
* tanh follows. The paper's output is linear and may leave [-1, 1]; here images are scored after rounding to 8 bits, so
  D would judge others than are scored.
* No style mixing, path length penalty or truncation: they belong to training and sampling, which all networks share.
* No equalised learning rate, and no slower one for the mapping network: weights start at the scale at which the paper
  multiplies them. Equalisation is made for rates around 2e-3; all networks here share one trainer, whose 2e-4 would
  move N(0, 1) weights by a far smaller part than the weights of the others.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from autogan_ray.nets.baselines._rules import check_settings
from autogan_ray.nets.ops import upsample
from autogan_ray.nets.processes import ALONE
from autogan_ray.spaces.sizes import generator_cells

EPSILON = 1e-8
MAPPING_LAYERS = 2


def _scaled(layer: nn.Conv2d | nn.Linear) -> None:
    """Weights N(0, 1 / fan in): unit variance in, unit variance out."""
    nn.init.normal_(layer.weight, std=1 / math.sqrt(layer.weight[0].numel()))


def _linear(c_in: int, c_out: int, bias: float = 0.0) -> nn.Linear:
    layer = nn.Linear(c_in, c_out)
    _scaled(layer)
    nn.init.constant_(layer.bias, bias)
    return layer


def _conv(c_in: int, c_out: int, kernel: int) -> nn.Conv2d:
    """Keeps the side; no bias."""
    layer = nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, bias=False)
    _scaled(layer)
    return layer


class ModulatedConv(nn.Module):
    """x [B, c_in, H, W], w [B, w_dim] -> [B, c_out, H, W] by weights that are scaled for each image of the batch.

    Equation 1: input channel i is multiplied by style s_i = affine(w)_i, which starts around 1. Equation 3: output
    channel o is divided by sqrt(sum_ik (s_i W_oik)^2 + epsilon), its standard deviation for inputs of unit variance.
    Both factors are constant over the map, so scaling the maps before and after ONE convolution of the batch gives the
    same as a weight tensor per image, without its memory or grouped convolutions.

    Args:
        demodulate: whether to divide by equation 3; the layers that make images do not.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, w_dim: int, demodulate: bool) -> None:
        super().__init__()
        self._demodulate = demodulate
        self.style = _linear(w_dim, c_in, bias=1.0)
        self.conv = _conv(c_in, c_out, kernel)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.style(w)
        y = self.conv(x * style[:, :, None, None])
        if not self._demodulate:
            return y
        power = self.conv.weight.square().sum(dim=(2, 3))
        return y * (style.square() @ power.T + EPSILON).rsqrt()[:, :, None, None]


class StyleLayer(nn.Module):
    """Up-sampling where wanted, 3x3 modulated convolution, noise, bias, leaky ReLU (figure 2c).

    The noise is one number a pixel, the same for all channels, from torch's global generator; its learned strength
    starts at 0. The factor sqrt(2) after the activation undoes its halving of the second moment.
    ``processes``: those that train the network; each draws the noise of the whole batch.
    """

    processes = ALONE

    def __init__(self, c_in: int, c_out: int, w_dim: int, up: bool) -> None:
        super().__init__()
        self.up = upsample("bilinear") if up else nn.Identity()
        self.conv = ModulatedConv(c_in, c_out, 3, w_dim, demodulate=True)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(c_out, 1, 1))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        y = self.conv(self.up(x), w)
        drawn = torch.randn(self.processes.count * len(y), 1, *y.shape[2:], device=y.device, dtype=y.dtype)
        noise = self.processes.own(drawn)
        return functional.leaky_relu(y + self.strength * noise + self.bias, 0.2) * math.sqrt(2)


class ToImage(nn.Module):
    """Maps [B, C, H, W] -> [B, image_channels, H, W], to be summed: a modulated, not demodulated 1x1 convolution."""

    def __init__(self, c_in: int, image_channels: int, w_dim: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(c_in, image_channels, 1, w_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(image_channels, 1, 1))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return self.conv(x, w) + self.bias


class Mapping(nn.Module):
    """z [B, latent_dim] -> w [B, w_dim]: z at unit second moment, then fully connected layers and leaky ReLUs."""

    def __init__(self, latent_dim: int, w_dim: int) -> None:
        super().__init__()
        widths = [latent_dim, *[w_dim] * MAPPING_LAYERS]
        self.layers = nn.ModuleList(_linear(c_in, c_out) for c_in, c_out in pairwise(widths))

    def forward(self, z: Tensor) -> Tensor:
        w = z * (z.square().mean(dim=1, keepdim=True) + EPSILON).rsqrt()
        for layer in self.layers:
            w = functional.leaky_relu(layer(w), 0.2) * math.sqrt(2)
        return w


class StyleGan2Generator(nn.Module):
    """z [B, latent_dim] -> images [B, image_channels, image_size, image_size] in [-1, 1].

    A learned constant at the bottom width, one style layer there and two at each doubling; the image is the sum of
    what each side's maps give, up-sampled (the skip architecture). The same in training and evaluation mode.

    ``stochastic``: the pixel noise comes from torch's global generator, which callers seed to repeat an image.

    Raises SpaceError or ConfigError for settings that cannot be built.
    """

    stochastic = True
    classes = 0

    def __init__(self, image_size: int, image_channels: int, channels: int, latent_dim: int) -> None:
        super().__init__()
        check_settings(image_size, image_channels, channels, latent_dim)
        self.latent_dim = latent_dim
        bottom, doublings = generator_cells(image_size)
        self.mapping = Mapping(latent_dim, channels)
        self.constant = nn.Parameter(torch.randn(1, channels, bottom, bottom))
        self.bottom = StyleLayer(channels, channels, channels, up=False)
        self.firsts = nn.ModuleList(StyleLayer(channels, channels, channels, up=True) for _ in range(doublings))
        self.seconds = nn.ModuleList(StyleLayer(channels, channels, channels, up=False) for _ in range(doublings))
        self.to_image = nn.ModuleList(ToImage(channels, image_channels, channels) for _ in range(doublings + 1))
        self.up = upsample("bilinear")

    def forward(self, z: Tensor) -> Tensor:
        w = self.mapping(z)
        x = self.bottom(self.constant.expand(len(z), -1, -1, -1), w)
        rgb = self.to_image[0](x, w)
        for first, second, to_image in zip(self.firsts, self.seconds, self.to_image[1:], strict=True):
            x = second(first(x, w), w)
            rgb = self.up(rgb) + to_image(x, w)
        return torch.tanh(rgb)
