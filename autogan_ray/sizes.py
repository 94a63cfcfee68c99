"""How many cells a network has: it follows from the image size alone, for every space alike."""

from __future__ import annotations

from autogan_ray.errors import SpaceError


def generator_cells(image_size: int) -> tuple[int, int]:
    """(bottom width in pixels, number of doubling cells) of a generator: 32 -> (4, 3), 48 -> (6, 3), 8 -> (2, 2).

    Raises SpaceError for a size that no cell can double to.
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
    """Number of halving cells of a discriminator, down to a map of at least 2 px: 32 -> 4, 48 -> 4, 8 -> 2."""
    width, cells = image_size, 0
    while width % 2 == 0 and width // 2 >= 2:
        width, cells = width // 2, cells + 1
    return cells
