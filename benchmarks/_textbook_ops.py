"""The operations of the textbook networks: one plain torch module each, ordinary layers in their published order."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

Weights = dict[str, Tensor]
"""decision -> weights of its choices [choices]; a derived network ignores it."""


class Nothing(nn.Module):
    """The choice ``no`` of a block: no term of the sum."""


class Zero(nn.Module):
    """``none``, as published: the input times 0."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 0


class Nested(nn.Module):
    """A choice that holds decisions of its own, so that its call takes the weights too."""


class Mixed(nn.Module):
    """All choices of one decision, each a call of its own: the sum of share * output.

    With ``chosen`` only that one is there, and is called without a share.
    """

    def __init__(self, decision: str, choices: Mapping[str, nn.Module], chosen: str | None = None) -> None:
        super().__init__()
        self.decision, self.chosen = decision, chosen
        self.choices = nn.ModuleDict(dict(choices) if chosen is None else {chosen: choices[chosen]})

    def forward(self, x: Tensor, weights: Weights) -> Tensor | None:
        """None where nothing is added."""
        if self.chosen is not None:
            return self._call(self.choices[self.chosen], x, weights)
        total: Tensor | None = None
        for share, module in zip(weights[self.decision].unbind(), self.choices.values(), strict=True):
            output = self._call(module, x, weights)
            if output is not None:
                total = share * output if total is None else total + share * output
        return total

    def _call(self, module: nn.Module, x: Tensor, weights: Weights) -> Tensor | None:
        if isinstance(module, Nothing):
            return None
        output: Tensor = module(x, weights) if isinstance(module, Nested) else module(x)
        return output


class Repeated(nn.Module):
    """One module several times, with the same weights."""

    def __init__(self, module: nn.Module, times: int) -> None:
        super().__init__()
        self.module, self.times = module, times

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.times):
            x = self.module(x)
        return x


def conv(
    c_in: int,
    c_out: int,
    kernel: int,
    spectral: bool,
    *,
    dilation: int = 1,
    stride: int = 1,
    groups: int = 1,
    bias: bool = True,
) -> nn.Module:
    padding = dilation * (kernel - 1) // 2
    layer = nn.Conv2d(c_in, c_out, kernel, stride, padding, dilation, groups, bias)
    return spectral_norm(layer) if spectral else layer


def upsample(mode: str, times: int = 1) -> nn.Module:
    corners = None if mode == "nearest" else False
    return nn.Upsample(scale_factor=2**times, mode=mode, align_corners=corners)


CONVOLUTIONS = {  # name -> kernel, dilation, stride
    "conv_1x1": (1, 1, 1),
    "conv_3x3": (3, 1, 1),
    "conv_5x5": (5, 1, 1),
    "dil_conv_3x3": (3, 2, 1),
    "dil_conv_5x5": (5, 2, 1),
    "down_conv_3x3": (3, 1, 2),
    "down_conv_5x5": (5, 1, 2),
    "down_dil_conv_3x3": (3, 2, 2),
    "down_dil_conv_5x5": (5, 2, 2),
}


def operation(name: str, c_in: int, c_out: int, norm: str, activation: bool = True, affine: bool = True) -> nn.Module:
    """Args: norm: ``none``, ``batch`` or ``spectral``; activation: a leading ReLU; affine: of separable batch norms."""
    spectral = norm == "spectral"
    normed = [nn.BatchNorm2d(c_out)] if norm == "batch" else []
    lead: list[nn.Module] = [nn.ReLU()] if activation else []
    if name in CONVOLUTIONS:
        kernel, dilation, stride = CONVOLUTIONS[name]
        layer = conv(c_in, c_out, kernel, spectral, dilation=dilation, stride=stride)
        return nn.Sequential(*lead, layer, *normed)
    if name in ("nearest_conv_1x1", "bilinear_conv_1x1"):
        point = conv(c_in, c_out, 1, spectral)
        return nn.Sequential(upsample(name.removesuffix("_conv_1x1")), nn.ReLU(), point, *normed)
    if name == "deconv_3x3_depthwise":
        deep = nn.ConvTranspose2d(c_in, c_in, 3, 2, 1, output_padding=1, groups=c_in, bias=False)
        return nn.Sequential(nn.ReLU(), deep, conv(c_in, c_out, 1, spectral, bias=False), *normed)
    if name.startswith("sep_conv_"):
        kernel = int(name[-1])
        return nn.Sequential(
            *_separable(c_in, c_in, kernel, spectral, lead, affine),
            *_separable(c_in, c_out, kernel, spectral, [nn.ReLU()], affine),
        )
    plain: dict[str, Callable[[], nn.Module]] = {
        "none": Zero,
        "skip": nn.Identity,
        "avg_pool": lambda: nn.AvgPool2d(2),
        "max_pool": lambda: nn.MaxPool2d(2),
    }
    if name in plain:
        return plain[name]()
    return nn.ConvTranspose2d(c_in, c_out, 2, stride=2) if name == "deconv_2x2" else upsample(name)


def _separable(
    c_in: int, c_out: int, kernel: int, spectral: bool, lead: list[nn.Module], affine: bool
) -> list[nn.Module]:
    norm = [] if spectral else [nn.BatchNorm2d(c_out, affine=affine)]
    deep = conv(c_in, c_in, kernel, spectral, groups=c_in, bias=False)
    return [*lead, deep, conv(c_in, c_out, 1, spectral, bias=False), *norm]


def block_norm(name: str, channels: int) -> nn.Module:
    if name == "batch":
        return nn.BatchNorm2d(channels)
    return nn.InstanceNorm2d(channels) if name == "instance" else nn.Identity()


def resize(x: Tensor, side: int, mode: str) -> Tensor:
    corners = None if mode == "nearest" else False
    return torch.nn.functional.interpolate(x, size=(side, side), mode=mode, align_corners=corners)
