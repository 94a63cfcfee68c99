"""When a training has diverged, decided here alone: something is not finite, or the images are all the same."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

DIVERGED_FID = 1e9
"""Reported in place of the score of a diverged training: larger than any real score, and finite, as ASHA never stops
NaN."""

IMAGES_NOT_FINITE = "images are not finite"
IMAGES_ALL_THE_SAME = "the generator's images are all the same"
FEATURES_NOT_FINITE = "features of the images are not finite"
SCORE_NOT_FINITE = "the score is not finite"
"""What a score can say of a generator that has diverged (:class:`autogan_ray.metrics.evaluation.Score`)."""


def divergence(losses: Mapping[str, float | None], parts: Mapping[str, Iterable[Tensor]]) -> str | None:
    """Returns what of a training is not finite, in words; None for a sound training, whose images may be scored.

    Args:
        losses: means since the evaluation before, by name; None where there was no step.
        parts: weights and logits by the name of what holds them.
    """
    for name, value in losses.items():
        if value is not None and not math.isfinite(value):
            return f"{name} is not finite"
    for name, tensors in parts.items():
        finite = [torch.isfinite(tensor).all() for tensor in tensors]
        if finite and not bool(torch.stack(finite).all()):  # one wait for the device
            return f"{name} are not finite"
    return None


class Seen:
    """Looks at the images of a scoring as they pass: keeps the first, and notices whether all are the same.

    Args:
        keep: number of images to keep.
    """

    def __init__(self, keep: int) -> None:
        self._keep, self._count, self._same = keep, 0, True
        self._one: Tensor | None = None
        self.first: Tensor | None = None
        """The first images, uint8 [N, C, H, W] on the CPU; None before there are any."""

    def add(self, images: Tensor) -> None:
        if self._one is None or self.first is None:
            self._one, self.first = images[:1], images[: self._keep].cpu()
        elif len(self.first) < self._keep:
            self.first = torch.cat([self.first, images[: self._keep - len(self.first)].cpu()])
        self._count += len(images)
        self._same = self._same and bool((images == self._one).all())

    @property
    def all_the_same(self) -> bool:
        """Whether there were several images, and none differed from the first."""
        return self._same and self._count > 1
