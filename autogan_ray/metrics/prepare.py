"""Getting an extractor's weights: Inception's from a file or a download; a classifier's by training, cached."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autogan_ray.base.errors import MetricError, nearest
from autogan_ray.base.files import replacing
from autogan_ray.metrics.classifier import DIM, RECIPE, train_classifier
from autogan_ray.metrics.features import ExtractorWeights, state_digest
from autogan_ray.metrics.labels import CLASSIFIER, EXTRACTORS, INCEPTION
from autogan_ray.metrics.weights import INCEPTION_URL, check_extractor, inception_file, missing_weights, read_weights


def cache_root() -> Path:
    """$AUTOGAN_RAY_CACHE, or the user's cache."""
    return Path(os.environ.get("AUTOGAN_RAY_CACHE") or Path.home() / ".cache" / "autogan_ray")


def prepare_extractor(
    name: str,
    *,
    images: np.ndarray,
    labels: np.ndarray | None,
    data_digest: str,
    weights: str | Path | None = None,
    sha256: str | None = None,
    cache: Path | None = None,
    download: bool = True,
) -> ExtractorWeights:
    """The weights as a value.

    Args:
        images, labels: uint8 [N, C, H, W] and int64 [N]: what a classifier learns from.
        data_digest: of both; it keys the cache.
        weights, sha256: Inception's file and the (beginning of the) digest it must have; None takes the published.

    Raises:
        MetricError: unknown name; weights missing, torn, of another digest or another network; no labels.
    """
    if name not in EXTRACTORS:
        raise MetricError(f"unknown extractor {name!r}; {nearest(name, EXTRACTORS)}")
    if name == INCEPTION:
        return _inception(inception_file(weights), sha256, download and not weights)
    check_extractor(name, labels is not None, weights, sha256)
    assert labels is not None
    return _classifier(images, labels, data_digest, cache or cache_root())


def _inception(file: Path, sha256: str | None, download: bool) -> ExtractorWeights:
    if not file.is_file():
        if not download:
            raise MetricError(str(missing_weights(INCEPTION, file)))
        _download(file)
    content, digest = read_weights(file, sha256)
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
        raise MetricError(f"extractor weights {file}: not a file of weights: {str(error).splitlines()[0]}") from error
    _check_inception(state, file)
    return ExtractorWeights(INCEPTION, digest, _saved(state))


def _check_inception(state: Any, file: Path) -> None:
    wanted = {"Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3), "fc.weight": (1008, 2048)}
    for name, shape in wanted.items():
        if not isinstance(state, dict) or name not in state or tuple(state[name].shape) != shape:
            raise MetricError(f"extractor weights {file}: no {name} of shape {shape}: not Inception v3's weights")


def _download(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(INCEPTION_URL, str(file), progress=False)
    except OSError as error:
        raise MetricError(
            f"extractor weights cannot be downloaded from {INCEPTION_URL}: {error}; fetch the file elsewhere and give "
            "its place by --set metrics.weights=PATH, or use --set metrics.extractor=classifier for labelled data"
        ) from error


def _classifier(images: np.ndarray, labels: np.ndarray, data_digest: str, cache: Path) -> ExtractorWeights:
    key = hashlib.sha256(f"{RECIPE} {DIM} {data_digest} {torch.__version__}".encode()).hexdigest()
    file = cache / f"classifier-{key[:32]}.pt"
    state = _cached(file)
    if state is None:
        state = train_classifier(images, labels)
        _store(file, state)
    return ExtractorWeights(
        CLASSIFIER, state_digest(state), _saved(state), image_channels=images.shape[1], classes=int(labels.max()) + 1
    )


def _cached(file: Path) -> dict[str, torch.Tensor] | None:
    """None for a file that is not there or is damaged: it is trained again."""
    try:
        found = torch.load(file, weights_only=True)
        state: dict[str, torch.Tensor] = found["state"]
        return state if state_digest(state) == found["digest"] else None
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _store(file: Path, state: dict[str, torch.Tensor]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as handle:
        torch.save({"state": state, "digest": state_digest(state)}, handle)


def _saved(state: dict[str, torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
