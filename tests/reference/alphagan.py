"""alphaGAN's generator: Tian et al., "AlphaGAN", TPAMI 2021 (arXiv 2006.09134)."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.reference.common import (
    KERNELS,
    Network,
    batch_norm,
    conv,
    deconv2,
    from_latent,
    resize,
    to_image,
    weighted_sum,
)

UP = ("deconv_2x2", "nearest", "bilinear")
NORMAL = ("conv_1x1", "conv_3x3", "conv_5x5", "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7")
SEPARABLE = {"sep_conv_3x3": 3, "sep_conv_5x5": 5, "sep_conv_7x7": 7}


def generator(net: Network, z: Tensor, image_size: int, cells: int = 3, *, affine: bool = True) -> Tensor:
    """z (N, L) to images (N, channels, S, S).

    ``affine`` says whether the cells' batch norms have weights, as in the derived network, or none, as in the search.
    """
    x = from_latent(net, 0, z, image_size >> cells)
    skips: list[Tensor] = []
    for index in range(cells):
        x, skip = _cell(net, index, x, skips, affine)
        skips.append(skip)
    return to_image(net, x)


def _cell(net: Network, index: int, x: Tensor, skips: list[Tensor], affine: bool) -> tuple[Tensor, Tensor]:
    """x (N, C, H, W) to the output and the skip-out, both (N, C, 2H, 2W).

    The skip-out is the first way up's output, before any convolution; the skips are added to the cell's output.
    """
    place, decision = f"cells.{index}", f"g.cell{index + 1}"

    def normal(name: str, x: Tensor) -> Tensor:
        where = f"{place}.edges.{name}"
        return weighted_sum(net, f"{decision}.{name}", NORMAL, lambda choice: _normal_op(net, where, choice, x, affine))

    def up(name: str) -> Tensor:
        layer = f"{place}.edges.{name}.choices.deconv_2x2"
        return weighted_sum(net, f"{decision}.{name}", UP, lambda choice: _up_op(net, layer, choice, x, 2))

    u0, u1 = up("u0"), up("u1")
    out = normal("e1", normal("e0", u0)) + normal("e2", u1)
    for earlier, skip in enumerate(skips):
        out = out + _skip(net, index, earlier, skip, out.shape[2] // skip.shape[2])
    return out, u0


def _skip(net: Network, index: int, earlier: int, x: Tensor, ratio: int) -> Tensor:
    """A searched skip between cells, (N, C, H, W) to (N, C, ratio H, ratio W)."""
    layer = f"cells.{index}.skips.{earlier}.choices.deconv_2x2.module"
    decision = f"g.cell{index + 1}.skip{earlier + 1}"
    return weighted_sum(net, decision, UP, lambda choice: _up_op(net, layer, choice, x, ratio))


def _up_op(net: Network, layer: str, choice: str, x: Tensor, ratio: int) -> Tensor:
    """One doubling after another until ``ratio``, all by the same layer; interpolation has neither conv nor ReLU."""
    while ratio > 1:
        x = deconv2(net, layer, x) if choice == "deconv_2x2" else resize(x, choice)
        ratio //= 2
    return x


def _normal_op(net: Network, place: str, choice: str, x: Tensor, affine: bool) -> Tensor:
    """ReLU and a convolution with bias; or twice [ReLU, depthwise, pointwise, BN] without biases."""
    layer = f"{place}.choices.{choice}"
    if choice not in SEPARABLE:
        return conv(net, f"{layer}.1", torch.relu(x), KERNELS[choice][0])
    for start in (0, 4):
        x = conv(net, f"{layer}.{start + 1}", torch.relu(x), SEPARABLE[choice], bias=False, depthwise=True)
        x = conv(net, f"{layer}.{start + 2}", x, 1, bias=False)
        x = batch_norm(net, f"{layer}.{start + 3}", x, affine=affine)
    return x
