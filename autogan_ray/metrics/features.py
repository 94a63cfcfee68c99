"""Features of images: an extractor is built once per process from its weights, and reads images batch by batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from autogan_ray.metrics.extractors.base import ExtractorWeights
from autogan_ray.metrics.extractors.registry import extractor_named


@dataclass(frozen=True)
class Features:
    """Features of N images, float32, on the CPU except for single batches.

    Args:
        embedding: [N, D], what distances are taken between.
        logits: [N, K], what the Inception Score is taken of.
    """

    embedding: Tensor
    logits: Tensor


class Extractor:
    """uint8 images [N, 1 or 3, H, W] -> :class:`Features`, without gradient and without touching any global state.

    Args:
        weights: from :meth:`~autogan_ray.metrics.extractors.base.FeatureExtractor.prepare`.
        device: on which features are computed.
    """

    def __init__(self, weights: ExtractorWeights, device: torch.device | str = "cpu") -> None:
        self._kind, self._device = extractor_named(weights.name), torch.device(device)
        # Building draws initial weights; the trained ones replace them.
        with torch.random.fork_rng(devices=[]):
            self._network = self._kind.build(weights).to(self._device).eval().requires_grad_(False)
        if self._device.type == "cpu":
            # The same sums over memory in another order: features agree to a millionth, in two thirds of the time.
            self._network.to(memory_format=torch.channels_last)

    def __call__(self, images: Tensor, batch_size: int = 256) -> Features:
        """Returns the features of uint8 images [N, C, H, W] on any device; a batch at a time is moved to its own."""
        gathered = Gathered(len(images))
        for batch in images.split(batch_size):
            gathered.add(self.batch(batch))
        return gathered.features

    @torch.inference_mode()
    def batch(self, images: Tensor) -> Features:
        """Returns the features of one batch, left on the extractor's device."""
        assert images.dtype == torch.uint8 and images.ndim == 4, (images.dtype, images.shape)
        embedding, logits = self._kind.extract(self._network, images.to(self._device))
        return Features(embedding.float(), logits.float())


class Gathered:
    """Collects batches of features; each is copied once, to its place among those of ``count`` images on the CPU."""

    def __init__(self, count: int) -> None:
        self._count, self._filled = count, 0
        self._parts: tuple[Tensor, Tensor] | None = None

    def add(self, batch: Features) -> None:
        parts = (batch.embedding, batch.logits)
        if self._parts is None:
            with torch.inference_mode(False):  # what leaves here must be fit for any use, with gradients too
                self._parts = torch.empty(self._count, parts[0].shape[1]), torch.empty(self._count, parts[1].shape[1])
        end = self._filled + len(batch.embedding)
        for whole, part in zip(self._parts, parts, strict=True):
            whole[self._filled : end] = part
        self._filled = end

    @property
    def features(self) -> Features:
        """The features of all images; as many as were announced must have come."""
        assert self._parts is not None and self._filled == self._count, (self._filled, self._count)
        return Features(*self._parts)
