"""Random changes of images that D sees, differentiable, so that G learns through them.

DiffAugment (Zhao et al., NeurIPS 2020, section 3.2 and appendix): the same changes of real images and of fakes, each
image by a draw of its own. All draws come from a generator on the CPU, so a run does not depend on the device; where
several processes train a network, each draws for the whole batch, of which it has a part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from autogan_ray.nets.processes import ALONE, Processes
from autogan_ray.nets.upload import uploaded

Change = Callable[[Tensor, torch.Generator, Processes], Tensor]


def _drawn(images: Tensor, processes: Processes, draw: Callable[[int], Tensor]) -> Tensor:
    """A row for each image: of those that ``draw`` gives for so many images as the whole batch has."""
    return uploaded(processes.own(draw(processes.count * len(images))), images.device)


def mirrored(images: Tensor, rng: torch.Generator, processes: Processes = ALONE) -> Tensor:
    """Returns images [B, C, H, W], each mirrored left to right with probability 1/2."""
    flipped = _drawn(images, processes, lambda count: torch.rand(count, generator=rng) < 0.5)
    return torch.where(flipped.view(-1, 1, 1, 1), images.flip(3), images)


def augmentation(
    names: Sequence[str], rng: torch.Generator, processes: Processes = ALONE
) -> Callable[[Tensor], Tensor]:
    """Returns a function of images [B, C, H, W] that applies these changes in turn, with new draws at each call."""
    changes = [CHANGES[name] for name in names]

    def changed(images: Tensor) -> Tensor:
        for change in changes:
            images = change(images, rng, processes)
        return images

    return changed


def color(images: Tensor, rng: torch.Generator, processes: Processes = ALONE) -> Tensor:
    """Brightness shifted by U(-0.5, 0.5); saturation scaled by U(0, 2), contrast by U(0.5, 1.5)."""
    brightness, saturation, contrast = (
        _drawn(images, processes, lambda count: torch.rand(count, generator=rng)).view(-1, 1, 1, 1) for _ in range(3)
    )
    images = images + (brightness - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * (2 * saturation)
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    return middle + (images - middle) * (contrast + 0.5)


def translation(images: Tensor, rng: torch.Generator, processes: Processes = ALONE) -> Tensor:
    """Moved by up to an eighth of the side, rounded, in each direction; what comes in is 0, middle grey."""
    side = images.shape[3]
    most = int(side / 8 + 0.5)
    down, right = (
        _drawn(images, processes, lambda count: torch.randint(-most, most + 1, (count, 1), generator=rng))
        for _ in range(2)
    )
    padded = functional.pad(images, [most] * 4)
    at = torch.arange(side, device=images.device)
    rows, columns = at + most - down, at + most - right  # [B, side]
    padded = padded.gather(2, rows[:, None, :, None].expand(-1, images.shape[1], -1, padded.shape[3]))
    return padded.gather(3, columns[:, None, None, :].expand(-1, images.shape[1], side, -1))


def cutout(images: Tensor, rng: torch.Generator, processes: Processes = ALONE) -> Tensor:
    """A square of half the side set to 0, its centre anywhere in the image."""
    side = images.shape[3]
    reach = side // 2
    top, left = (
        _drawn(images, processes, lambda n: torch.randint(0, side + 1 - reach % 2, (n, 1), generator=rng)) - reach // 2
        for _ in range(2)
    )
    at = torch.arange(side, device=images.device)
    rows, columns = (at >= top) & (at < top + reach), (at >= left) & (at < left + reach)
    return images * ~(rows[:, None, :, None] & columns[:, None, None, :])


CHANGES: dict[str, Change] = {"color": color, "translation": translation, "cutout": cutout}
"""Name -> change, in the order in which they are applied."""
