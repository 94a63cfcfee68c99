"""AdversarialNAS's generator and searched discriminator: Gao et al., "AdversarialNAS", CVPR 2020."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.reference.common import (
    DOWN,
    NORMAL,
    Network,
    conv,
    down_op,
    from_latent,
    normal_op,
    resize,
    score,
    to_image,
    weighted_sum,
)

UP = ("nearest_conv_1x1", "bilinear_conv_1x1", "deconv_3x3_depthwise")
FIRST = NORMAL[2:]
"""What may read the image in D: the five convolutions."""


def generator(net: Network, z: Tensor, image_size: int, cells: int = 3) -> Tensor:
    """z (N, L) to images (N, channels, S, S); z is cut into a part for each cell, but into two at 48 px."""
    return grown(net, z, image_size, cells, parts=2 if image_size == 48 else cells)


def grown(net: Network, z: Tensor, image_size: int, cells: int, parts: int) -> Tensor:
    """z (N, L) to images (N, channels, S, S); the parts of z after the first are added to later cells' inputs."""
    bottom = image_size >> cells
    pieces = z.chunk(parts, dim=1)
    x = from_latent(net, 0, pieces[0], bottom)
    skips: list[Tensor] = []
    for index in range(cells):
        if 0 < index < parts:
            x = x + from_latent(net, index, pieces[index], bottom << index)
        x, skip = _generator_cell(net, index, x, skips)
        skips.append(skip)
    return to_image(net, x)


def _generator_cell(net: Network, index: int, x: Tensor, skips: list[Tensor]) -> tuple[Tensor, Tensor]:
    """x (N, C, H, W) to n3, the output, and n2, the skip-out, both (N, C, 2H, 2W)."""

    def edge(name: str, x: Tensor) -> Tensor:
        place = f"cells.{index}.edges.{name}"
        return weighted_sum(net, f"g.cell{index + 1}.{name}", NORMAL, lambda choice: normal_op(net, place, choice, x))

    n0, n1 = (_up_edge(net, index, name, x) for name in ("u0", "u1"))
    n2 = edge("e0", n0) + edge("e1", n1)
    for earlier, skip in enumerate(skips):
        # Not searched: nearest in the third cell, bilinear in the second.
        raised = resize(skip, "bilinear" if index == 1 else "nearest", n2.shape[2] // skip.shape[2])
        n2 = n2 + conv(net, f"cells.{index}.skips.{earlier}", raised, 1)
    return edge("e2", n0) + edge("e3", n1) + edge("e4", n2), n2


def _up_edge(net: Network, index: int, name: str, x: Tensor) -> Tensor:
    """(N, C, H, W) to (N, C, 2H, 2W)."""

    def run(choice: str) -> Tensor:
        place = f"cells.{index}.edges.{name}.choices.{choice}"
        if choice == "deconv_3x3_depthwise":
            raised = F.conv_transpose2d(
                torch.relu(x), net[f"{place}.1.weight"], None, stride=2, padding=1, output_padding=1, groups=x.shape[1]
            )
            return conv(net, f"{place}.2", raised, 1, bias=False)
        return conv(net, f"{place}.2", torch.relu(resize(x, choice.removesuffix("_conv_1x1"))), 1)

    return weighted_sum(net, f"g.cell{index + 1}.{name}", UP, run)


def discriminator(net: Network, images: Tensor, cells: int = 4) -> Tensor:
    """Images (N, channels, S, S) to scores (N, 1); every cell halves the side."""
    x = images
    for index in range(cells):
        x = _discriminator_cell(net, index, x)
    return score(net, x)


def _discriminator_cell(net: Network, index: int, x: Tensor) -> Tensor:
    """x (N, C, H, W) to (N, Cd, H/2, W/2); in the first cell the edges from the image are convolutions, no ReLU."""

    def edge(name: str, x: Tensor, reads_image: bool = False) -> Tensor:
        return weighted_sum(
            net,
            f"d.cell{index + 1}.{name}",
            FIRST if reads_image else NORMAL,
            lambda choice: normal_op(
                net, f"cells.{index}.edges.{name}", choice, x, activation=not reads_image, spectral=True
            ),
        )

    def down(name: str, x: Tensor) -> Tensor:
        place = f"cells.{index}.edges.{name}"
        return weighted_sum(net, f"d.cell{index + 1}.{name}", DOWN, lambda choice: down_op(net, place, choice, x))

    first = index == 0
    a = edge("e0", x, first)
    b = edge("e1", x, first) + edge("e3", a)
    c = edge("e2", x, first) + edge("e4", a)
    return down("d0", b) + down("d1", c)
