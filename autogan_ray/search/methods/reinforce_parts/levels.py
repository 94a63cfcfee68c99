"""The levels of a search that grows (AutoGAN's multi-level search): image sides, cells and phases of each.

Level by level the image side doubles. The skeleton at a smaller side is the full one without its last cells, with the
same bottom, so all levels have their weights in common. D gets the images of every level enlarged to the full side, and
real images made as coarse: so any D serves, and D need not grow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autogan_ray.base.errors import ConfigError
from autogan_ray.spaces.blocks import WholePart
from autogan_ray.spaces.part import Decision
from autogan_ray.spaces.sizes import generator_cells
from autogan_ray.spaces.space import SearchSpace

if TYPE_CHECKING:  # a study's levels are checked before torch is wanted
    from torch import Tensor

SMALLEST_PX = 8
"""AutoGAN's first level."""


@dataclass(frozen=True)
class Level:
    """One level of a growing search.

    Args:
        side: of its images, in pixels.
        cells: number of cells of G that run; None for all.
        decisions: those of the cells that the level adds.
        last_phase: number of the controller's phase that ends the level, from 1.
    """

    side: int
    cells: int | None
    decisions: tuple[Decision, ...]
    last_phase: int


def plan_levels(space: SearchSpace, image_size: int, count: int | None, phases: int) -> tuple[Level, ...]:
    """Returns the levels of G, smallest first.

    A level gets the square root of 2 times the phases of the one before: of the published 65, that is 15, 21 and 29,
    where the published search had 15, 20 and 30.

    Args:
        count: number of levels; None: as many as keep the first at 8 px, and each a phase.
        phases: of the controller in the whole search.

    Raises ConfigError where the generator has fewer cells than ``count``.
    """
    whole = isinstance(space.generator, WholePart)
    cells = 1 if whole else generator_cells(image_size)[1]
    if count is not None and count > cells:
        raise ConfigError(
            f"search.levels = {count}: the generator of space {space.name!r} has {cells} cells at {image_size} px, so "
            f"there are at most {cells} levels"
        )
    count = count or min(max(1, sum(image_size // 2**k >= SMALLEST_PX for k in range(cells))), phases)
    decisions = space.decisions(image_size, "g")
    levels, done, begun = [], 0, 0
    for index, ends in enumerate(_ends(count, phases)):
        running = cells - (count - 1 - index)
        added = decisions if whole else tuple(d for d in decisions if begun < _cell(d) <= running)
        last = index == count - 1
        levels.append(Level(image_size // 2 ** (count - 1 - index), None if last else running, added, ends))
        done, begun = ends, running
    assert done == phases
    return tuple(levels)


def _cell(decision: Decision) -> int:
    """``g.cell2.e0`` -> 2."""
    return int(decision.name.split(".")[1].removeprefix("cell"))


def _ends(count: int, phases: int) -> list[int]:
    """Returns the last phase of each level; every level has a phase at least."""
    lengths = [2 ** (index / 2) for index in range(count)]
    ends: list[int] = []
    for index in range(count):
        wanted = round(phases * sum(lengths[: index + 1]) / sum(lengths))
        ends.append(min(max(wanted, (ends[-1] if ends else 0) + 1), phases - (count - 1 - index)))
    return ends


def coarse(images: Tensor, side: int) -> Tensor:
    """Reduces images [B, C, H, H] to the detail of ``side`` px: each square of H / side px is filled with its mean."""
    import torch
    from torch.nn import functional

    full = images.shape[-1]
    if side == full:
        return images
    with torch.no_grad():
        return functional.interpolate(functional.avg_pool2d(images, full // side), full, mode="nearest")
