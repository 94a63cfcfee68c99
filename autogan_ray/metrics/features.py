"""Feature extractors: prepared once by the driver as a value, shipped to the trials, built once a process."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from autogan_ray.metrics.classifier import Classifier
from autogan_ray.metrics.labels import CLASSIFIER, INCEPTION, metric_label


@dataclass(frozen=True)
class ExtractorWeights:
    """A picklable value: a remote worker needs no files.

    Args:
        digest: sha256 of what decides the features (the weights file, or the classifier's parameters).
        state: a saved ``state_dict``.
    """

    name: str
    digest: str
    state: bytes
    image_channels: int = 3
    classes: int = 1008

    @property
    def label(self) -> str:
        """How people read a Frechet distance over these features."""
        return metric_label(self.name)


@dataclass(frozen=True)
class Features:
    """Of N images, float32, on the CPU but for single batches: ``embedding`` [N, D] and ``logits`` [N, K]."""

    embedding: Tensor
    logits: Tensor


def state_digest(state: dict[str, Tensor]) -> str:
    """sha256 over names, shapes and values; independent of how a file stores them."""
    found = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        found.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        found.update(value.numpy().tobytes())
    return found.hexdigest()


class Extractor:
    """uint8 images [N, 1 or 3, H, W] -> :class:`Features`, without gradient and without touching any global state."""

    def __init__(self, weights: ExtractorWeights, device: torch.device | str = "cpu") -> None:
        self.weights, self.device = weights, torch.device(device)
        build: dict[str, Callable[[], torch.nn.Module]] = {INCEPTION: self._inception, CLASSIFIER: self._classifier}
        # Building draws initial weights; the trained ones replace them.
        with torch.random.fork_rng(devices=[]):
            self._network = build[weights.name]().to(self.device).eval().requires_grad_(False)
        if self.device.type == "cpu":
            # The same sums over memory in another order: features agree to a millionth, in two thirds of the time.
            self._network.to(memory_format=torch.channels_last)

    @property
    def name(self) -> str:
        return self.weights.name

    @property
    def digest(self) -> str:
        return self.weights.digest

    def _classifier(self) -> torch.nn.Module:
        network = Classifier(self.weights.image_channels, self.weights.classes)
        network.load_state_dict(torch.load(io.BytesIO(self.weights.state), weights_only=True))
        return network

    def _inception(self) -> torch.nn.Module:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        return FeatureExtractorInceptionV3(
            INCEPTION, ["2048", "logits_unbiased"], feature_extractor_weights_path=io.BytesIO(self.weights.state)
        )

    def __call__(self, images: Tensor, batch_size: int = 256) -> Features:
        """Args: images: uint8 [N, C, H, W], on any device; only a batch at a time is moved to the extractor's."""
        gathered = Gathered(len(images))
        for batch in images.split(batch_size):
            gathered.add(self.batch(batch))
        return gathered.features

    @torch.inference_mode()
    def batch(self, images: Tensor) -> Features:
        """Of one batch, left on the extractor's device."""
        assert images.dtype == torch.uint8 and images.ndim == 4, (images.dtype, images.shape)
        embedding, logits = self._batch(images.to(self.device))
        return Features(embedding.float(), logits.float())

    def _batch(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if self.name == INCEPTION:
            found: tuple[Tensor, Tensor] = self._network(images.expand(-1, 3, -1, -1))
            return found
        wanted = self.weights.image_channels
        if images.shape[1] != wanted:
            # torch-fidelity knows coloured images only: a grey image repeated is the grey image.
            images = images[:, :1] if wanted == 1 else images.expand(-1, 3, -1, -1)
        result: tuple[Tensor, Tensor] = self._network(images.float().div(127.5).sub(1.0))
        return result


class Gathered:
    """Batches of features, each copied once: to its place among those of all ``count`` images, on the CPU."""

    def __init__(self, count: int) -> None:
        self._count, self._filled = count, 0
        self._parts: tuple[Tensor, Tensor] | None = None

    def add(self, batch: Features) -> None:
        found = (batch.embedding, batch.logits)
        if self._parts is None:
            with torch.inference_mode(False):  # what leaves here must be fit for any use, with gradients too
                self._parts = torch.empty(self._count, found[0].shape[1]), torch.empty(self._count, found[1].shape[1])
        end = self._filled + len(batch.embedding)
        for whole, part in zip(self._parts, found, strict=True):
            whole[self._filled : end] = part
        self._filled = end

    @property
    def features(self) -> Features:
        """All of them. As many as were announced must have come."""
        assert self._parts is not None and self._filled == self._count, (self._filled, self._count)
        return Features(*self._parts)
