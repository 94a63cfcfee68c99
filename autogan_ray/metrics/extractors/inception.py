"""Inception v3 as torch-fidelity has it: the extractor of the published FID. Its weights are a file or a download."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autogan_ray.base.errors import MetricError
from autogan_ray.config.sections import MetricsConfig
from autogan_ray.metrics.extractors.base import ExtractorWeights, FeatureExtractor, saved_state
from autogan_ray.metrics.extractors.weights_file import read_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from autogan_ray.training.data import ImageData

INCEPTION = "inception-v3-compat"
FILE = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"
SHA256 = "6726825d"


class InceptionFeatures(FeatureExtractor):
    """Features [B, 2048] and logits [B, 1008] of images of any size; a grey image is repeated to three channels."""

    name = INCEPTION
    label = "FID"
    downloads = True

    def missing(self, metrics: MetricsConfig) -> str | None:
        file = weights_file(metrics)
        if file.is_file():
            return None
        if metrics.weights:
            return f"extractor weights: {file} does not exist"
        return (
            f"extractor weights: {file} does not exist; it is downloaded when the study starts, or get it from "
            f"{URL} and give its place by --set metrics.weights=PATH"
        )

    def check(self, metrics: MetricsConfig, classes: int) -> None:
        file = weights_file(metrics)
        if file.is_file():
            _read(file, metrics.sha256)

    def prepare(self, data: ImageData, metrics: MetricsConfig) -> ExtractorWeights:
        """Raises MetricError for weights that are missing, torn, of another digest or of another network."""
        file = weights_file(metrics)
        if not file.is_file():
            if metrics.weights:
                raise MetricError(str(self.missing(metrics)))
            _download(file)
        state, digest = _read(file, metrics.sha256)
        return ExtractorWeights(self.name, digest, saved_state(state))

    def build(self, weights: ExtractorWeights) -> nn.Module:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        return FeatureExtractorInceptionV3(
            self.name, ["2048", "logits_unbiased"], feature_extractor_weights_path=io.BytesIO(weights.state)
        )

    def extract(self, network: Any, images: Tensor) -> tuple[Tensor, Tensor]:
        return network(images.expand(-1, 3, -1, -1))


def weights_file(metrics: MetricsConfig) -> Path:
    """Returns the file that the study names, or else torch.hub's place for it."""
    if metrics.weights:
        return Path(metrics.weights).expanduser()
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / FILE


def _read(file: Path, sha256: str | None) -> tuple[dict[str, Tensor], str]:
    """Returns (weights, digest); the digest must begin as ``sha256``, or else as the published digest does."""
    return read_weights(file, sha256 or SHA256, "Remove it to download it again", "Inception v3", _wanted())


def _wanted() -> dict[str, Tensor]:
    """Returns torch-fidelity's Inception as names and tensors without memory."""
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Empty(FeatureExtractorInceptionV3):
        """The network before it has loaded any weights."""

        def load_state_dict(self, *_: object, **__: object) -> None: ...

    nothing = io.BytesIO(saved_state({}))
    with torch.device("meta"):
        state: dict[str, Tensor] = Empty(INCEPTION, ["2048"], feature_extractor_weights_path=nothing).state_dict()
    return state


def _download(file: Path) -> None:
    import torch

    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(URL, str(file), progress=False)
    except OSError as error:
        raise MetricError(
            f"extractor weights cannot be downloaded from {URL}: {error}; fetch the file elsewhere and give its place "
            "by --set metrics.weights=PATH, or use --set metrics.extractor=efficientnet-lite0 or, for labelled data, "
            "classifier"
        ) from error
