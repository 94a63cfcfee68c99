"""Where the weights of Inception lie, and whether they are there; free of torch where it is not asked for its place."""

from __future__ import annotations

import hashlib
from pathlib import Path

from autogan_ray.base.errors import MetricError, nearest
from autogan_ray.metrics.labels import CLASSIFIER, EXTRACTORS, INCEPTION

INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_FILE}"
INCEPTION_SHA256 = "6726825d"


def inception_file(weights: str | Path | None) -> Path:
    """The file asked for, or torch.hub's place."""
    if weights:
        return Path(weights).expanduser()
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE


def read_weights(file: Path, sha256: str | None) -> tuple[bytes, str]:
    """(content, digest) of Inception's file.

    Args:
        sha256: (the beginning of) the digest it must have; None takes the published.

    Raises MetricError for another digest, OSError.
    """
    content, wanted = file.read_bytes(), sha256 or INCEPTION_SHA256
    digest = hashlib.sha256(content).hexdigest()
    if not digest.startswith(wanted.lower()):
        raise MetricError(
            f"extractor weights {file}: sha256 is {digest[:16]}..., expected {wanted}...; the file is torn or another "
            "one. Remove it to download it again, or name its digest by --set metrics.sha256=... if it is meant"
        )
    return content, digest


def check_extractor(name: str, labelled: bool, weights: str | Path | None, sha256: str | None) -> None:
    """Raises MetricError for data without labels where they are learnt from, and for weights that are not those meant.

    Weights that are not there are no error here: see :func:`missing_weights`.
    """
    if name == CLASSIFIER and not labelled:
        raise MetricError(
            f"extractor {CLASSIFIER!r} learns from labels, and this data set has none; use --set "
            f"metrics.extractor={INCEPTION}, or give labels"
        )
    if name == INCEPTION and (file := inception_file(weights)).is_file():
        read_weights(file, sha256)


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
