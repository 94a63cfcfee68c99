"""A small network trained on the labelled data set itself, whose features stand in for Inception's.

It serves small, grey or air-gapped data sets. It notices lost modes and collapse, which random features do not; its
distances are comparable only within one digest, and are called "FD (classifier)" wherever people read them.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

from autogan_ray.base.errors import MetricError
from autogan_ray.config.sections import MetricsConfig
from autogan_ray.metrics.cache import cached
from autogan_ray.metrics.extractors.base import ExtractorWeights, FeatureExtractor, saved_state

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from autogan_ray.training.data import ImageData

RECIPE = "classifier-v1"
DIM = 64
_SEED = 20_261_101
_BATCH = 64
_MOST_STEPS = 3000
_EPOCHS = 30


class ClassifierFeatures(FeatureExtractor):
    """Features [B, 64] and one logit per class; images are taken with as many channels as it was trained on."""

    name = "classifier"
    reads = ()
    trained = True

    def check(self, metrics: MetricsConfig, classes: int) -> None:
        if classes < 2:
            raise MetricError(
                f"extractor 'classifier' learns from labels, and this data set has {classes or 'none'}"
                f"{' class' if classes else ''}; use --set metrics.extractor=efficientnet-lite0 or "
                "inception-v3-compat, or give labels of two classes or more"
            )

    def prepare(self, data: ImageData, metrics: MetricsConfig) -> ExtractorWeights:
        """Trains the classifier, or reads what an earlier call trained on the same data."""
        import torch

        self.check(metrics, data.classes)
        images, labels = data.images, data.labels
        assert labels is not None

        key = f"{RECIPE} {DIM} {data.digest} {torch.__version__}"
        state = cached("classifier", key, lambda: train_classifier(images, labels))
        digest = state_digest(state)
        return ExtractorWeights(self.name, digest, saved_state(state), images.shape[1], int(labels.max()) + 1)

    def build(self, weights: ExtractorWeights) -> nn.Module:
        import torch

        network = classifier_network(weights.image_channels, weights.classes)
        network.load_state_dict(torch.load(io.BytesIO(weights.state), weights_only=True))
        return network

    def extract(self, network: Any, images: Tensor) -> tuple[Tensor, Tensor]:
        wanted = network.body[0].in_channels
        if images.shape[1] != wanted:
            # torch-fidelity knows coloured images only: a grey image repeated is the grey image.
            images = images[:, :1] if wanted == 1 else images.expand(-1, 3, -1, -1)
        features = network.body(images.float().div(127.5).sub(1.0))
        return features, network.head(features)


def classifier_network(image_channels: int, classes: int) -> nn.ModuleDict:
    """Returns ``body``: floats [B, C, H, W] in [-1, 1], H at least 8 -> features [B, 64], and ``head``: -> logits."""
    from torch import nn

    body = nn.Sequential(
        nn.Conv2d(image_channels, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 4, DIM),
        nn.ReLU(),
    )
    return nn.ModuleDict({"body": body, "head": nn.Linear(DIM, classes)})


def train_classifier(images: np.ndarray, labels: np.ndarray) -> dict[str, Tensor]:
    """Returns the state of a classifier trained on all images; the same bits at every call on one kind of machine.

    It uses one thread and random streams of its own, so neither the number of threads nor the global generators matter.

    Args:
        images: uint8 [N, C, H, W].
        labels: int64 [N], classes 0 .. K-1.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            network = classifier_network(images.shape[1], int(labels.max()) + 1)
        _fit(network, images, torch.from_numpy(labels.copy()))
    finally:
        torch.set_num_threads(threads)
    return network.state_dict()


def _fit(network: nn.ModuleDict, images: np.ndarray, labels: Tensor) -> None:
    import numpy as np
    import torch
    from torch.nn import functional

    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    steps = min(_MOST_STEPS, _EPOCHS * max(1, len(images) // _BATCH))
    rng = np.random.default_rng(_SEED)
    order, position = rng.permutation(len(images)), 0
    with torch.enable_grad():
        for _ in range(steps):
            if position >= len(order):
                order, position = rng.permutation(len(images)), 0
            chosen = order[position : position + _BATCH]
            position += _BATCH
            x = torch.from_numpy(images[chosen]).float().div_(127.5).sub_(1.0)
            loss = functional.cross_entropy(network["head"](network["body"](x)), labels[chosen])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()


def state_digest(state: dict[str, Tensor]) -> str:
    """Returns the sha256 over names, shapes and values, independent of how a file stores them."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()
