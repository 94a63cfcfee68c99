"""Data, extractor and real statistics of a study: prepared once by the driver, shared by all trials and retrainings."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass

import torch

from autogan_ray.base.files import replacing
from autogan_ray.config.sections import DataConfig, MetricsConfig
from autogan_ray.metrics.evaluation import RealSet
from autogan_ray.metrics.features import Extractor, ExtractorWeights
from autogan_ray.metrics.prepare import cache_root, prepare_extractor
from autogan_ray.metrics.scores import Statistics
from autogan_ray.training.data import ImageData, load_study_data

_FORMAT = "real-v2"


@dataclass(frozen=True)
class Measure:
    """What every score of a study is taken against."""

    data: ImageData
    extractor: ExtractorWeights
    real: RealSet


def prepare(
    data: DataConfig, metrics: MetricsConfig, device: torch.device | str = "cpu", search_batch: int | None = None
) -> Measure:
    """Load, train or download, extract: :func:`load_study_data`, then :func:`measure_against`."""
    return measure_against(load_study_data(data, metrics, search_batch), metrics, device)


def measure_against(images: ImageData, metrics: MetricsConfig, device: torch.device | str = "cpu") -> Measure:
    """The extractor, and what it makes of the first ``metrics.n_real`` images. Raises MetricError."""
    weights = prepare_extractor(
        metrics.extractor,
        images=images.images,
        labels=images.labels,
        data_digest=images.digest,
        weights=metrics.weights,
        sha256=metrics.sha256,
    )
    return Measure(images, weights, _real_set(images, weights, metrics.n_real or len(images), device))


def floor(measure: Measure, device: torch.device | str = "cpu") -> float:
    """The Frechet distance of one half of the real images to the other: what a perfect generator would score."""
    from autogan_ray.metrics.scores import frechet_distance
    from autogan_ray.training.data import split_halves

    extractor = Extractor(measure.extractor, device)
    halves = [
        Statistics.of(extractor(torch.from_numpy(measure.data.images[half])).embedding)
        for half in split_halves(len(measure.data), 0)
    ]
    return frechet_distance(halves[0], halves[1])


def _real_set(data: ImageData, weights: ExtractorWeights, count: int, device: torch.device | str) -> RealSet:
    """From the cache, whose key is the content: data, count, extractor."""
    key = hashlib.sha256(f"{_FORMAT} {data.digest} {count} {weights.digest}".encode()).hexdigest()
    file = cache_root() / f"real-{key[:32]}.pt"
    try:
        found = torch.load(file, weights_only=True)
        statistics = Statistics(found["mean"].numpy(), found["covariance"].numpy(), found["count"])
        return RealSet(statistics, found["root"], found["embedding"])
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError):
        pass  # absent or damaged: extracted again
    real = RealSet.of(Extractor(weights, device), data.images[:count])
    file.parent.mkdir(parents=True, exist_ok=True)
    kept = {
        "mean": torch.from_numpy(real.statistics.mean),
        "covariance": torch.from_numpy(real.statistics.covariance),
        "count": real.statistics.count,
        "root": real.root,
        "embedding": real.embedding,
    }
    with replacing(file) as handle:
        torch.save(kept, handle)
    return real
