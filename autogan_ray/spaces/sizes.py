"""How many cells a network has, and which change the image side: it follows from the image size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autogan_ray.base.errors import SpaceError


@dataclass(frozen=True)
class CellLayout:
    """One cell of a network.

    Args:
        number: 1 for the first cell.
        level: +1 where the cell doubles the image side, -1 where it halves it, 0 where it keeps it.
        fixed: AutoGAN's residual block stands there, and nothing is decided.
        side: of the cell's output in pixels; None for a cell of any network, whatever the image size.
    """

    number: int
    level: int
    fixed: bool = False
    side: int | None = None

    @property
    def first(self) -> bool:
        """Whether it is the first cell of its network."""
        return self.number == 1

    def lead(self, network: str) -> str:
        """Returns what stands before the short names of the cell's decisions: ``g.cell1.``."""
        return f"{network}.cell{self.number}."


def generator_layout(image_size: int) -> tuple[CellLayout, ...]:
    """Returns the cells of a generator: each doubles the image side."""
    bottom, cells = generator_cells(image_size)
    return tuple(CellLayout(number, +1, side=bottom * 2**number) for number in range(1, cells + 1))


def generator_cells(image_size: int) -> tuple[int, int]:
    """Returns (bottom width in pixels, number of doubling cells) of a generator.

    32 -> (4, 3), 48 -> (6, 3), 8 -> (2, 2). Raises SpaceError for a size that no cell can double to.
    """
    smallest = 4 if image_size >= 16 else 2
    width, cells = image_size, 0
    while width % 2 == 0 and width // 2 >= smallest:
        width, cells = width // 2, cells + 1
    if cells == 0 or width > 15:
        near = min((8, 16, 32, 48, 64, 96, 128, 256), key=lambda size: abs(size - image_size))
        raise SpaceError(
            f"image size {image_size} px: it must be 2, 3, ... 15 px doubled at least once; the nearest usual size "
            f"is {near}"
        )
    return width, cells


def discriminator_cells(image_size: int) -> int:
    """Returns how many cells of a discriminator halve, down to a map of at least 2 px: 32 -> 4, 48 -> 4, 8 -> 2."""
    width, cells = image_size, 0
    while width % 2 == 0 and width // 2 >= 2:
        width, cells = width // 2, cells + 1
    return cells


def discriminator_layout(
    image_size: int, cells: int | None = None, halvings: int | None = None, fixed: int = 0
) -> tuple[CellLayout, ...]:
    """Returns the cells of a discriminator.

    Args:
        cells: number of cells; None: as many as halve the image.
        halvings: at most so many of the first cells halve; None: all that can.
        fixed: so many of the first cells are AutoGAN's blocks.
    """
    able = discriminator_cells(image_size)
    downs = able if halvings is None else min(able, halvings)
    return tuple(
        CellLayout(number, -1 if number <= downs else 0, number <= fixed, image_size // 2 ** min(number, downs))
        for number in range(1, (cells or able) + 1)
    )


def cells_in_words(layouts: Sequence[CellLayout]) -> str:
    """Returns ``cell2..cell4`` for consecutive cells, ``cell2`` for one."""
    first, last = layouts[0].number, layouts[-1].number
    return f"cell{first}" if first == last else f"cell{first}..cell{last}"
