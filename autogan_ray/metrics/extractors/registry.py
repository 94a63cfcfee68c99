"""The extractors: ``metrics.extractor`` of a study names one of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from autogan_ray.base.errors import MetricError, nearest
from autogan_ray.config.methods import listed
from autogan_ray.config.sections import MetricsConfig
from autogan_ray.metrics.extractors.base import FeatureExtractor
from autogan_ray.metrics.extractors.classifier import ClassifierFeatures
from autogan_ray.metrics.extractors.efficientnet_lite0 import EfficientNetLite0Features
from autogan_ray.metrics.extractors.inception import InceptionFeatures

_ALL = (InceptionFeatures(), EfficientNetLite0Features(), ClassifierFeatures())
EXTRACTORS: Mapping[str, FeatureExtractor] = MappingProxyType({kind.name: kind for kind in _ALL})


def extractor_named(name: str) -> FeatureExtractor:
    """Returns an extractor by name. Raises MetricError for an unknown name."""
    if name not in EXTRACTORS:
        raise MetricError(f"metrics.extractor = {name!r} is not an extractor; {nearest(name, EXTRACTORS)}")
    return EXTRACTORS[name]


def unread(metrics: MetricsConfig) -> list[str]:
    """Returns the names of the settings that the extractor does not read. Raises MetricError for an unknown one."""
    reads = extractor_named(metrics.extractor).reads
    return [name for name in FeatureExtractor.reads if name not in reads]


def check_settings(metrics: MetricsConfig) -> None:
    """Raises MetricError for an unknown extractor, and for a setting that the extractor does not read."""
    for name in unread(metrics):
        value = getattr(metrics, name)
        if value is not None:
            others = listed(kind.name for kind in _ALL if name in kind.reads)
            raise MetricError(
                f"metrics.{name} = {value!r} with metrics.extractor = {metrics.extractor!r}: that extractor does not "
                f"read it; leave it out, or take {others}"
            )


def metric_label(extractor: str) -> str:
    """Returns how people read a Frechet distance over an extractor's features: "FID", "FD (classifier)", ..."""
    return extractor_named(extractor).label
