"""EAGAN's generator and discriminator: Ying et al., "EAGAN", ECCV 2022."""

from __future__ import annotations

from torch import Tensor

from tests.reference import adversarialnas
from tests.reference.autogan import first_block
from tests.reference.common import DOWN, NORMAL, Network, down_op, normal_op, score, weighted_sum


def generator(net: Network, z: Tensor, image_size: int, cells: int = 3) -> Tensor:
    """z (N, L) to images (N, channels, S, S): the cells of AdversarialNAS; z has a part for each at every size."""
    return adversarialnas.grown(net, z, image_size, cells, parts=cells)


def discriminator(net: Network, images: Tensor, cells: int = 4) -> Tensor:
    """Images (N, channels, S, S) to scores (N, 1): AutoGAN's first block, then searched cells.

    A cell whose two ways down are not among the decisions adds its nodes b and c without halving the side.
    """
    x = first_block(net, images)
    for index in range(1, cells):
        x = _cell(net, index, x)
    return score(net, x)


def _cell(net: Network, index: int, x: Tensor) -> Tensor:
    """x (N, Cd, H, W) to (N, Cd, H/2, W/2) or, without ways down, the same shape; x to c has no ReLU."""

    def edge(name: str, x: Tensor, activation: bool = True) -> Tensor:
        place = f"cells.{index}.edges.{name}"
        return weighted_sum(
            net,
            f"d.cell{index + 1}.{name}",
            NORMAL,
            lambda choice: normal_op(net, place, choice, x, activation=activation, spectral=True),
        )

    def down(name: str, x: Tensor) -> Tensor:
        decision, place = f"d.cell{index + 1}.{name}", f"cells.{index}.edges.{name}"
        if decision not in net.selection:
            return x
        return weighted_sum(net, decision, DOWN, lambda choice: down_op(net, place, choice, x))

    a = edge("e0", x)
    b = edge("e1", x) + edge("e2", a)
    c = edge("e3", a) + edge("e4", x, activation=False)
    return down("d0", b) + down("d1", c)
