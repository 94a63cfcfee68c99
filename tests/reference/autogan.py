"""AutoGAN's generator and its fixed discriminator: Gong et al., "AutoGAN", ICCV 2019."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.reference.common import (
    Network,
    average_pool,
    batch_norm,
    conv,
    deconv2,
    from_latent,
    instance_norm,
    resize,
    score,
    to_image,
    weighted_sum,
)

CONV = ("post", "pre")
NORM = ("none", "batch", "instance")
UP = ("bilinear", "nearest", "deconv")
SWITCH = ("no", "yes")
FIXED_BLOCKS = 4


def generator(net: Network, z: Tensor, image_size: int, cells: int = 3) -> Tensor:
    """z (N, L) to images (N, channels, S, S); each cell doubles the side."""
    x = from_latent(net, 0, z, image_size >> cells)
    skips: list[Tensor] = []
    for index in range(cells):
        x, skip = _cell(net, index, x, skips)
        skips.append(skip)
    return to_image(net, x)


def _cell(net: Network, index: int, x: Tensor, skips: list[Tensor]) -> tuple[Tensor, Tensor]:
    """x (N, C, H, W) to the output and the skip-out, both (N, C, 2H, 2W).

    The skip-out is the first unit's output after the incoming skips were added.
    """
    place, decision = f"cells.{index}", f"g.cell{index + 1}"
    hidden = weighted_sum(net, f"{decision}.conv", CONV, lambda kind: _unit(net, index, "unit1", kind, x))
    for earlier, skip in enumerate(skips):
        where, ratio = f"{place}.skips.{earlier}", hidden.shape[2] // skip.shape[2]
        hidden = hidden + _side_path(net, f"{decision}.skip{earlier + 1}", decision, where, skip, ratio)
    out = weighted_sum(net, f"{decision}.conv", CONV, lambda kind: _unit(net, index, "unit2", kind, hidden))
    return out + _side_path(net, f"{decision}.shortcut", decision, f"{place}.shortcut", x, 2), hidden


def _unit(net: Network, index: int, name: str, kind: str, x: Tensor) -> Tensor:
    """pre: norm, ReLU, [up,] 3x3 convolution; post: [up,] 3x3 convolution, norm, ReLU; only the first unit goes up."""
    decision, place = f"g.cell{index + 1}", f"cells.{index}.{name}.choices.{kind}"

    def raised(x: Tensor) -> Tensor:
        return _up(net, decision, f"{place}.up", x, 2) if name == "unit1" else x

    if kind == "pre":
        return conv(net, f"{place}.conv", raised(torch.relu(_norm(net, decision, place, x))), 3)
    return torch.relu(_norm(net, decision, place, conv(net, f"{place}.conv", raised(x), 3)))


def _norm(net: Network, decision: str, place: str, x: Tensor) -> Tensor:
    def run(choice: str) -> Tensor:
        if choice == "batch":
            return batch_norm(net, f"{place}.norm.choices.batch", x)
        return instance_norm(x) if choice == "instance" else x

    return weighted_sum(net, f"{decision}.norm", NORM, run)


def _up(net: Network, decision: str, place: str, x: Tensor, ratio: int) -> Tensor:
    """The cell's way up: interpolation in one step, or one transposed convolution for each doubling."""

    def run(choice: str) -> Tensor:
        if choice != "deconv":
            return resize(x, choice, ratio)
        found = x
        for step in range(ratio.bit_length() - 1):
            found = deconv2(net, f"{place}.choices.deconv.layers.{step}", found)
        return found

    return weighted_sum(net, f"{decision}.up", UP, run)


def _side_path(net: Network, switch: str, decision: str, place: str, x: Tensor, ratio: int) -> Tensor:
    """The inner shortcut or a skip from an earlier cell: up, then a 1x1 convolution; or nothing."""

    def run(choice: str) -> Tensor:
        up = f"{place}.choices.yes.up"
        if choice == "yes":
            return conv(net, f"{place}.choices.yes.conv", _up(net, decision, up, x, ratio), 1)
        return x.new_zeros(())

    return weighted_sum(net, switch, SWITCH, run)


def first_block(net: Network, x: Tensor) -> Tensor:
    """D's first block: images (N, channels, S, S) to (N, Cd, S/2, S/2); no ReLU on the image."""
    main = conv(net, "cells.0.conv1", x, 3, spectral=True)
    main = conv(net, "cells.0.conv2", torch.relu(main), 3, spectral=True)
    return average_pool(main) + conv(net, "cells.0.shortcut", average_pool(x), 1, spectral=True)


def discriminator(net: Network, images: Tensor) -> Tensor:
    """The fixed D: images (N, channels, S, S) to scores (N, 1); two of its four blocks halve the side."""
    x = first_block(net, images)
    for index in range(1, FIXED_BLOCKS):
        main = conv(net, f"cells.{index}.conv1", torch.relu(x), 3, spectral=True)
        main = conv(net, f"cells.{index}.conv2", torch.relu(main), 3, spectral=True)
        if index == 1:  # convolution first, then the pool
            x = average_pool(main) + average_pool(conv(net, "cells.1.shortcut", x, 1, spectral=True))
        else:
            x = main + x
    return score(net, x)
