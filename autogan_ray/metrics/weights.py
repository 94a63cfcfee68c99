"""Where the weights of Inception lie, and whether they are there; free of torch where it is not asked for its place."""

from __future__ import annotations

from pathlib import Path

from autogan_ray.errors import MetricError, nearest
from autogan_ray.metrics.labels import EXTRACTORS, INCEPTION

INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_FILE}"
INCEPTION_SHA256 = "6726825d"


def inception_file(weights: str | Path | None) -> Path:
    """The file asked for, or torch.hub's place."""
    if weights:
        return Path(weights).expanduser()
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE


def missing_weights(name: str, weights: str | Path | None = None) -> str | None:
    """What is not there and how to get it; None where a study can start. Raises MetricError for an unknown name."""
    if name not in EXTRACTORS:
        raise MetricError(f"unknown extractor {name!r}; {nearest(name, EXTRACTORS)}")
    if name != INCEPTION or (file := inception_file(weights)).is_file():
        return None
    if weights:
        return f"extractor weights: {file} does not exist"
    return (
        f"extractor weights: {file} does not exist; it is downloaded when the study starts, or get it from "
        f"{INCEPTION_URL} and give its place by --set metrics.weights=PATH"
    )
