"""Images side by side in one file."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor


def save_grid(file: Path, images: Tensor) -> None:
    """Writes images [N, C, H, W] in [-1, 1] as a PNG of eight columns.

    Small images are enlarged by a whole factor, to about 512 px across all columns.
    """
    from torchvision.utils import make_grid, save_image

    columns = 8
    factor = max(1, 512 // (columns * images.shape[-1]))
    large = images.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)
    save_image(make_grid(large, nrow=columns, padding=2, normalize=True, value_range=(-1, 1)), file)
