"""What all scores of a study are taken against: data, extractor and real statistics, prepared once by the driver."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from autogan_ray.base.errors import MetricError
from autogan_ray.config.sections import DataConfig, MetricsConfig
from autogan_ray.metrics.cache import cached
from autogan_ray.metrics.extractors.base import ExtractorWeights
from autogan_ray.metrics.extractors.registry import extractor_named
from autogan_ray.metrics.features import Extractor
from autogan_ray.metrics.scores import RealSet, Statistics, frechet_distance
from autogan_ray.training.data import ImageData, load_study_data
from autogan_ray.training.images.sampling import split_halves

_FORMAT = "real-v4"


@dataclass(frozen=True)
class Measure:
    """What every score of a study is taken against.

    Args:
        data: all images of the study.
        extractor: the weights of its feature extractor.
        real: the statistics of its real images.
    """

    data: ImageData
    extractor: ExtractorWeights
    real: RealSet


def prepare(
    data: DataConfig, metrics: MetricsConfig, device: torch.device | str = "cpu", search_batch: int | None = None
) -> Measure:
    """Loads the data (:func:`load_study_data`), then calls :func:`measure_against`.

    Raises:
        DataError: the data set is not there, cannot be read, or has too few images.
        MetricError: the extractor cannot serve; weights that cannot be got are named before any image is read.
    """
    if lacking := extractor_named(metrics.extractor).unobtainable(metrics):
        raise MetricError(lacking)
    return measure_against(load_study_data(data, metrics, search_batch), metrics, device)


def measure_against(
    images: ImageData,
    metrics: MetricsConfig,
    device: torch.device | str = "cpu",
    weights: ExtractorWeights | None = None,
) -> Measure:
    """Prepares the statistics of ``metrics.n_real`` images, drawn over all, and the extractor where no weights are
    given. Raises MetricError."""
    weights = weights or extractor_named(metrics.extractor).prepare(images, metrics)
    return Measure(images, weights, real_set(images, weights, metrics.n_real or len(images), device))


def floor(real: RealSet) -> float:
    """Returns the Frechet distance between two halves of the real images.

    It is no bound: a distance falls with the number of images, and networks are scored with more. On the digits it is
    2.63, where the real images, drawn again 5,000 times as by a perfect generator, score 1.20 against 1,797.

    The halves are drawn from the features that are kept, at most ``RealSet.KEPT``, and without regard to classes, as a
    generator draws its own.
    """
    first, second = (Statistics.of(real.embedding[half]) for half in split_halves(len(real.embedding), None, seed=0))
    return frechet_distance(first, second)


def real_set(data: ImageData, weights: ExtractorWeights, count: int, device: torch.device | str) -> RealSet:
    """Returns what is known of a sample of ``count`` images, from the cache where the same was computed before."""

    def extracted() -> dict[str, object]:
        sample = data.sample(count)
        labels = None if data.labels is None else data.labels[sample]
        real = RealSet.of(Extractor(weights, device), data.images[sample], labels)
        return {
            "mean": torch.from_numpy(real.statistics.mean),
            "covariance": torch.from_numpy(real.statistics.covariance),
            "count": real.statistics.count,
            "root": real.root,
            "embedding": real.embedding,
        }

    kept = cached("real", f"{_FORMAT} {data.digest} {count} {weights.digest}", extracted)
    statistics = Statistics(kept["mean"].numpy(), kept["covariance"].numpy(), kept["count"])
    return RealSet(statistics, kept["root"], kept["embedding"])
