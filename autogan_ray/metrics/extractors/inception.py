"""Inception v3 as torch-fidelity has it: the extractor of the published FID. Its weights are a file or a download."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autogan_ray.base.errors import MetricError
from autogan_ray.config.sections import MetricsConfig
from autogan_ray.metrics.extractors.base import ExtractorWeights, FeatureExtractor, saved_state

if TYPE_CHECKING:
    from torch import Tensor, nn

    from autogan_ray.training.data import ImageData

INCEPTION = "inception-v3-compat"
FILE = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"
SHA256 = "6726825d"
UNREAD = ".num_batches_tracked"
"""Counters of batch norms, which no evaluation reads; files from before torch had them lack them."""


class InceptionFeatures(FeatureExtractor):
    """Features [B, 2048] and logits [B, 1008] of images of any size; a grey image is repeated to three channels."""

    name = INCEPTION
    label = "FID"

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
            _read_state(file, metrics.sha256)

    def prepare(self, data: ImageData, metrics: MetricsConfig) -> ExtractorWeights:
        """Raises MetricError for weights that are missing, torn, of another digest or of another network."""
        file = weights_file(metrics)
        if not file.is_file():
            if metrics.weights:
                raise MetricError(str(self.missing(metrics)))
            _download(file)
        state, digest = _read_state(file, metrics.sha256)
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


def _read(file: Path, sha256: str | None) -> tuple[bytes, str]:
    """Returns (content, digest); the digest must begin as ``sha256``, or else as the published digest does."""
    content, wanted = file.read_bytes(), sha256 or SHA256
    digest = hashlib.sha256(content).hexdigest()
    if not digest.startswith(wanted.lower()):
        raise MetricError(
            f"extractor weights {file}: sha256 is {digest[:16]}..., expected {wanted}...; the file is torn or another "
            "one. Remove it to download it again, or name its digest by --set metrics.sha256=... if it is meant"
        )
    return content, digest


def _read_state(file: Path, sha256: str | None) -> tuple[dict[str, Tensor], str]:
    """Returns (weights by name, digest); the network loads these weights as they are."""
    import torch

    content, digest = _read(file, sha256)
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # an unpickler meets bytes that are no pickle with errors of every kind
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise MetricError(f"extractor weights {file}: not a file of weights: {reason}") from error
    faults = _faults(state)
    if faults:
        more = f" ({len(faults)} such faults)" if len(faults) > 1 else ""
        raise MetricError(f"extractor weights {file}: not Inception v3's weights: {faults[0]}{more}")
    # A plain dict: what torch noted beside the weights decides which of them may be absent.
    return dict(state), digest


def _faults(state: Any) -> list[str]:
    """Says what keeps Inception from loading what a file holds: every name, shape and type is looked at."""
    import torch

    if not isinstance(state, dict):
        return [f"the file holds a {type(state).__name__} and no dict of tensors"]
    wanted, faults = _wanted(), []
    for name, tensor in wanted.items():
        value = state.get(name)
        if name not in state:
            if not name.endswith(UNREAD):
                faults.append(f"{name} is missing")
        elif not isinstance(value, torch.Tensor):
            faults.append(f"{name} is a {type(value).__name__} and no tensor")
        elif value.shape != tensor.shape:
            faults.append(f"{name} has shape {tuple(value.shape)} and not {tuple(tensor.shape)}")
        elif value.dtype != tensor.dtype and not name.endswith(UNREAD):
            faults.append(f"{name} is of {value.dtype} and not of {tensor.dtype}")
    return faults + [f"{name!r} is none of its weights" for name in state if name not in wanted]


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
            "by --set metrics.weights=PATH, or use --set metrics.extractor=classifier for labelled data"
        ) from error
