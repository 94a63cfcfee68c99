"""Operation names -> modules. One row a name; the names' meaning is in :mod:`autogan_ray.spaces.operations`.

Every convolution is led by a ReLU (not in place, as several operations read one tensor) and followed by nothing, by
batch normalisation, or has its weight divided by its spectral norm, as the part of the space says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor, nn

from autogan_ray.nets.attention import SelfAttention
from autogan_ray.nets.spectral import spectral
from autogan_ray.spaces.operations import BLOCKS, NONE, SKIP

GROUP = 16
"""Channels of a group at least, where a convolution is grouped; R3GAN's have 16."""


@dataclass(frozen=True)
class OpSpec:
    """What the operations of an edge are built for.

    Args:
        c_in, c_out: channels of input and output.
        norm: ``none``, ``batch`` (behind each convolution) or ``spectral`` (of each convolution's weight).
        activation: whether a ReLU leads.
        affine: whether the batch norms that belong to an operation itself have weights. alphaGAN's have none in the
            supernet, where an operation could scale itself up, and have them in derived networks.
    """

    c_in: int
    c_out: int
    norm: str = "none"
    activation: bool = True
    affine: bool = True


class SameConv2d(nn.Conv2d):
    """A convolution with a square kernel of odd side and zero padding that keeps the image side ("same").

    With stride 2 it halves an even side exactly. Only of these the fast form knows how to add up kernels: an operation
    made of other convolutions is right as well, but runs by itself.
    """

    def __init__(
        self, c_in: int, c_out: int, kernel: int, stride: int = 1, dilation: int = 1, groups: int = 1, bias: bool = True
    ) -> None:
        assert kernel % 2 == 1, f"kernel = {kernel}: its side is odd"
        super().__init__(c_in, c_out, kernel, stride, dilation * (kernel - 1) // 2, dilation, groups, bias)


def conv(
    c_in: int,
    c_out: int,
    kernel: int,
    spec_norm: bool,
    dilation: int = 1,
    stride: int = 1,
    bias: bool = True,
    groups: int = 1,
    fans_of_group: bool = False,
) -> nn.Module:
    """A ``SameConv2d`` with Xavier-uniform weights, divided by their spectral norm where ``spec_norm`` says so.

    Args:
        fans_of_group: whether Xavier's fan-out is that of one group, which is what an input feeds. torch counts the
            outputs of all groups, so weights start the smaller the more groups there are: those of a depthwise 3x3
            of 128 channels with a variance of 2 / (9 + 9 * 128), where 2 / (9 + 9) keeps that of its input. Published
            code draws its separable convolutions in torch's way; only the residual blocks are drawn by their groups.
    """
    layer = SameConv2d(c_in, c_out, kernel, stride, dilation, groups, bias)
    gain = math.sqrt((c_in + groups * c_out) / (c_in + c_out)) if fans_of_group else 1.0
    nn.init.xavier_uniform_(layer.weight, gain)
    return spectral(layer) if spec_norm else layer


def batch_norm(channels: int, affine: bool = True) -> nn.BatchNorm2d:
    """BatchNorm2d whose weights start at N(1, 0.02^2), as in all published trainings of this family."""
    norm = nn.BatchNorm2d(channels, affine=affine)
    if affine and not norm.weight.is_meta:  # a draw without memory would load torch.compile
        nn.init.normal_(norm.weight, 1.0, 0.02)
    return norm


def _conv(spec: OpSpec, kernel: int, dilation: int = 1, stride: int = 1) -> nn.Module:
    layer = conv(spec.c_in, spec.c_out, kernel, spec.norm == "spectral", dilation=dilation, stride=stride)
    return nn.Sequential(*_lead(spec.activation), layer, *_normed(spec))


def _interpolate(spec: OpSpec, mode: str) -> nn.Module:
    """Up, then ReLU, then the 1x1 convolution: the order of AdversarialNAS."""
    layer = conv(spec.c_in, spec.c_out, 1, spec.norm == "spectral")
    return nn.Sequential(upsample(mode), nn.ReLU(), layer, *_normed(spec))


def _depthwise_deconv(spec: OpSpec) -> nn.Module:
    """ReLU, depthwise 3x3 transposed convolution, 1x1 convolution; neither has a bias."""
    deep = nn.ConvTranspose2d(
        spec.c_in, spec.c_in, 3, stride=2, padding=1, output_padding=1, groups=spec.c_in, bias=False
    )
    point = conv(spec.c_in, spec.c_out, 1, spec.norm == "spectral", bias=False)
    return nn.Sequential(nn.ReLU(), deep, point, *_normed(spec))


def groups_of(channels: int) -> int:
    """Returns the most groups of at least :data:`GROUP` channels that are equal: 1 for fewer channels than two have."""
    return next(count for count in range(max(1, channels // GROUP), 0, -1) if channels % count == 0)


class Bottleneck(nn.Module):
    """x [B, C, H, W] -> x + gain * branch(x): 1x1, ReLU, ``kernel`` x ``kernel``, ReLU, 1x1 convolution.

    The block of R3GAN (Huang et al., NeurIPS 2024) with the kind of its middle convolution left open, and with ReLUs
    where that has leaky ones. ``gain`` starts at 0, where every block is the identity (SkipInit, De and Smith, NeurIPS
    2020): a last convolution of zeros, as R3GAN has it, could not be divided by its spectral norm.

    Args:
        kind: ``dense``, ``grouped`` (see :func:`groups_of`) or ``depthwise``.
        expansion: channels between the 1x1 convolutions, as a multiple of C.
    """

    def __init__(self, spec: OpSpec, kind: str, kernel: int, expansion: int) -> None:
        super().__init__()
        assert spec.c_in == spec.c_out, f"c_in = {spec.c_in}, c_out = {spec.c_out}: a residual block keeps its channels"
        inner, normed = expansion * spec.c_in, spec.norm == "spectral"
        groups = {"dense": 1, "grouped": groups_of(inner), "depthwise": inner}[kind]
        between = [batch_norm(inner)] if spec.norm == "batch" else []
        self.branch = nn.Sequential(
            *(conv(spec.c_in, inner, 1, normed), *between, nn.ReLU()),
            *(
                conv(inner, inner, kernel, normed, groups=groups, fans_of_group=True),
                *(batch_norm(inner) for _ in between),
                nn.ReLU(),
            ),
            conv(inner, spec.c_out, 1, normed),
        )
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gain * self.branch(x)


def _separable(spec: OpSpec, kernel: int) -> nn.Module:
    """Twice: ReLU, depthwise, pointwise, batch norm (with spectral norm: that in its place)."""
    normed = spec.norm == "spectral"

    def half(c_out: int, activation: bool) -> list[nn.Module]:
        deep = conv(spec.c_in, spec.c_in, kernel, normed, bias=False, groups=spec.c_in)
        point = conv(spec.c_in, c_out, 1, normed, bias=False)
        return [*_lead(activation), deep, point, *([] if normed else [batch_norm(c_out, spec.affine)])]

    return nn.Sequential(*half(spec.c_in, spec.activation), *half(spec.c_out, True))


class Repeated(nn.Module):
    """One module applied ``times`` times, with the same weights."""

    def __init__(self, module: nn.Module, times: int) -> None:
        super().__init__()
        self.module, self._times = module, times

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self._times):
            x = self.module(x)
        return x


def _lead(activation: bool) -> list[nn.Module]:
    return [nn.ReLU()] if activation else []


def _normed(spec: OpSpec) -> list[nn.Module]:
    return [batch_norm(spec.c_out)] if spec.norm == "batch" else []


def upsample(mode: str, factor: int = 2) -> nn.Module:
    """Enlarges height and width by a whole factor: ``nearest`` or ``bilinear`` (corners not aligned)."""
    return nn.Upsample(scale_factor=factor, mode=mode, align_corners=None if mode == "nearest" else False)


class Zero(nn.Module):
    """``none``, no connection: mixed operations leave it out. Called by itself it gives zeros of the input's shape."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


BUILDERS: Mapping[str, Callable[[OpSpec], nn.Module]] = MappingProxyType(
    {
        NONE: lambda spec: Zero(),
        SKIP: lambda spec: nn.Identity(),
        "conv_1x1": partial(_conv, kernel=1),
        "conv_3x3": partial(_conv, kernel=3),
        "conv_5x5": partial(_conv, kernel=5),
        "dil_conv_3x3": partial(_conv, kernel=3, dilation=2),
        "dil_conv_5x5": partial(_conv, kernel=5, dilation=2),
        "sep_conv_3x3": partial(_separable, kernel=3),
        "sep_conv_5x5": partial(_separable, kernel=5),
        "sep_conv_7x7": partial(_separable, kernel=7),
        **{
            name: partial(Bottleneck, kind=kind, kernel=kernel, expansion=expansion)
            for name, (kind, kernel, expansion) in BLOCKS.items()
        },
        "attention": lambda spec: SelfAttention(spec.c_out, spec.norm == "spectral"),
        "nearest": lambda spec: upsample("nearest"),
        "bilinear": lambda spec: upsample("bilinear"),
        "deconv_2x2": lambda spec: nn.ConvTranspose2d(spec.c_in, spec.c_out, 2, stride=2),
        "nearest_conv_1x1": partial(_interpolate, mode="nearest"),
        "bilinear_conv_1x1": partial(_interpolate, mode="bilinear"),
        "deconv_3x3_depthwise": _depthwise_deconv,
        "avg_pool": lambda spec: nn.AvgPool2d(2),
        "max_pool": lambda spec: nn.MaxPool2d(2),
        "down_conv_3x3": partial(_conv, kernel=3, stride=2),
        "down_conv_5x5": partial(_conv, kernel=5, stride=2),
        "down_dil_conv_3x3": partial(_conv, kernel=3, dilation=2, stride=2),
        "down_dil_conv_5x5": partial(_conv, kernel=5, dilation=2, stride=2),
    }
)


def build_op(name: str, spec: OpSpec) -> nn.Module:
    """The module behind an operation's name; the name was checked when the space was read."""
    return BUILDERS[name](spec)
