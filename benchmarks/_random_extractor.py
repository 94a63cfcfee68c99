"""An extractor and real statistics for timing alone: of the right form and size, with random numbers in them."""

from __future__ import annotations

import io

import numpy as np
import torch
from torch import Tensor, nn

from autogan_ray.metrics.extractors.base import ExtractorWeights
from autogan_ray.metrics.extractors.classifier import classifier_network
from autogan_ray.metrics.extractors.inception import INCEPTION
from autogan_ray.metrics.features import Extractor
from autogan_ray.metrics.scores import RealSet, Statistics


def random_extractor(name: str, channels: int, device: torch.device) -> Extractor:
    """Of the right form, with the weights it was made with."""
    if name != INCEPTION:
        network: nn.Module = classifier_network(channels, 10)
    else:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        class Untrained(FeatureExtractorInceptionV3):  # type: ignore[misc]
            """Takes no weights: the published class insists on a file."""

            def load_state_dict(self, *_: object, **__: object) -> None: ...

        network = Untrained(INCEPTION, ["2048"], feature_extractor_weights_path=_saved({}))
    state = _saved(network.state_dict()).getvalue()
    return Extractor(ExtractorWeights(name, "random", state, channels, 10), device)


def _saved(state: dict[str, Tensor]) -> io.BytesIO:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return buffer


def random_real(dim: int, device: torch.device) -> RealSet:
    """Statistics of no images at all, of full rank."""
    rng = np.random.default_rng(0)
    root = torch.from_numpy(rng.standard_normal((dim, dim)) / dim**0.5)
    statistics = Statistics(np.zeros(dim, np.float32), (root @ root.T).numpy(), 10 * dim)
    return RealSet(statistics, root.to(device), torch.rand(RealSet.KEPT, dim))
