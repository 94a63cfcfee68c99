"""The extractor of a study: the one that its first scores were taken by, later and on other machines too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autogan_ray.config.sections import MetricsConfig
from autogan_ray.metrics.cache import cache_folder, read_sealed, write_sealed
from autogan_ray.metrics.extractors.base import ExtractorWeights
from autogan_ray.metrics.extractors.registry import extractor_named

if TYPE_CHECKING:
    from autogan_ray.training.data import ImageData

EXTRACTOR = "extractor.pt"
"""In a study's folder: an extractor that was trained on the study's images."""


def study_extractor(
    about: Mapping[str, Any], folder: Path, images: ImageData, metrics: MetricsConfig
) -> ExtractorWeights:
    """Returns the extractor that a study began with, where its folder has it; else one that is prepared here.

    The latter may be another one (:func:`other_extractor`).

    Args:
        about: what ``study.json``, or the study's own row, says of the study.

    Raises MetricError.
    """
    kind = extractor_named(metrics.extractor)
    kept = read_sealed(folder / EXTRACTOR) if kind.trained else None
    if kept is not None and kept["digest"] == about.get("extractor_digest"):
        return ExtractorWeights(**kept)
    return kind.prepare(images, metrics)


def keep_extractor(about: Mapping[str, Any], folder: Path, weights: ExtractorWeights) -> None:
    """Leaves an extractor that was trained here in the folder of the study that began with it."""
    if extractor_named(weights.name).trained and weights.digest == about.get("extractor_digest"):
        write_sealed(folder / EXTRACTOR, asdict(weights))


def other_extractor(about: Mapping[str, Any], weights: ExtractorWeights) -> str | None:
    """Says what another extractor than the one that a study began with changes; None where it is the same."""
    began = about.get("extractor_digest")
    if not isinstance(began, str) or began == weights.digest:
        return None
    other = (
        f"the study began with another extractor {weights.name!r} (digest {began[:12]}, now {weights.digest[:12]}), so "
        "new scores compare with the earlier ones only roughly"
    )
    if not extractor_named(weights.name).trained:
        return other
    return (
        f"{other}; this one was trained again, and what comes of that depends on the processor and on torch: for the "
        f"same scores put back {EXTRACTOR} of the study's folder, or {cache_folder()}/classifier-*.pt of the machine "
        "where the study began"
    )
