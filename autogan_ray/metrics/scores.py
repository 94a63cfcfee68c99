"""Features -> statistics -> scores: pure functions, with torch-fidelity's own where they are usable on features.

Only the Frechet distance is computed here in another form (symmetric eigenvalues), equal to torch-fidelity's to 1e-6.
To add a metric of retrained networks, write its function here and give it a row in ``FINAL_METRICS``; the columns that
the row names belong into :mod:`autogan_ray.results.schemas`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from autogan_ray.base.errors import MetricError
from autogan_ray.metrics.features import Features
from autogan_ray.training.images.sampling import spread_sample


@dataclass(frozen=True)
class Statistics:
    """Mean and covariance of ``count`` feature vectors.

    Args:
        mean: [D], float32, as torch-fidelity averages.
        covariance: [D, D], float64.
    """

    mean: np.ndarray
    covariance: np.ndarray
    count: int

    @classmethod
    def of(cls, features: Tensor) -> Statistics:
        """Computes both for features float32 [N, D]. Raises MetricError for N < 2 or values that are not finite."""
        _check(features, "features")
        vectors = features.numpy()
        return cls(np.mean(vectors, axis=0), np.cov(vectors, rowvar=False), len(vectors))


@dataclass(frozen=True)
class RealSet:
    """What is known of the real images: a picklable value, made once per study and shared by all trials.

    Args:
        statistics: of all real features.
        root: float64 [D, rank], of their covariance: computed once, as it costs more than all the rest of a distance.
        embedding: float32 [N, D] of at most ``KEPT`` real images, a sample in which each class has its share, for KID
            and for precision and recall.
    """

    statistics: Statistics
    root: Tensor
    embedding: Tensor

    KEPT = 10_000

    @classmethod
    def of(cls, extract: Callable[[Tensor], Features], images: np.ndarray, labels: np.ndarray | None = None) -> RealSet:
        """Extracts the features of uint8 images [N, C, H, W], whose labels are int64 [N], or None."""
        features = extract(torch.from_numpy(images.copy()))
        statistics = Statistics.of(features.embedding)
        kept = torch.from_numpy(spread_sample(len(images), labels, cls.KEPT))
        return cls(statistics, covariance_root(statistics), features.embedding[kept])


def frechet_distance(fake: Statistics, real: Statistics, root: Tensor | None = None) -> float:
    """|m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^(1/2)) (Heusel et al. 2017, equation 6).

    The trace of the root is the sum of the roots of the eigenvalues of R^T S1 R with R R^T = S2, which is symmetric.
    Tiny negative results (identical sets) are kept.

    Args:
        root: R, where :func:`covariance_root` of ``real`` is known already: computing it is two thirds of the cost.
    """
    root = covariance_root(real) if root is None else root
    product = root_sum(root.T @ torch.from_numpy(fake.covariance) @ root)
    return between(fake.mean - real.mean, float(np.trace(fake.covariance)), float(np.trace(real.covariance)), product)


def between(difference: np.ndarray, trace: float, other_trace: float, root_trace: float) -> float:
    """Returns the distance from its parts.

    Args:
        difference: of the means, [D].
        trace, other_trace: of both covariances.
        root_trace: tr((S1 S2)^(1/2)).
    """
    return float(difference @ difference) + trace + other_trace - 2 * root_trace


def root_sum(matrix: Tensor) -> float:
    """Returns the sum of the roots of the eigenvalues of a symmetric positive semi-definite float64 matrix.

    The upper triangle is read: taken apart from its large end, at the bottom right in the axes of
    :func:`covariance_root`, such a graded matrix keeps the small eigenvalues, whose roots count, to many more digits.
    By SciPy, as its LAPACK takes 0.47 s for 2048 x 2048 on two cores, where torch's takes 0.54 s and sometimes 1.2 s.
    """
    from scipy.linalg import eigh

    columns = matrix.numpy().T  # in LAPACK's order, so that nothing is copied to turn it; it is symmetric
    eigenvalues = eigh(columns, lower=False, eigvals_only=True, driver="ev", check_finite=False)
    return float(np.sqrt(np.clip(eigenvalues, 0, None)).sum())


def covariance_root(statistics: Statistics) -> Tensor:
    """Returns R [D, rank], float64, with R R^T = the covariance.

    Its columns are the eigenvectors scaled by the roots of their eigenvalues, ascending.

    The rank of ``count`` features is at most ``count - 1``: columns beyond it are rounding, and left out.
    """
    values, vectors = torch.linalg.eigh(torch.from_numpy(statistics.covariance))
    rank = min(len(values), statistics.count - 1)
    values, vectors = values[-rank:], vectors[:, -rank:]
    kept = values > torch.finfo(values.dtype).eps * values[-1]
    return (vectors[:, kept] * values[kept].sqrt()).contiguous()


def kernel_distance(fake: Tensor, real: Tensor, subsets: int = 100, seed: int = 2020) -> tuple[float, float | None]:
    """Returns KID (Binkowski et al. 2018), mean and standard deviation over subsets; unbiased, so it may be below 0.

    A subset has 1000 images, as published, or as many as the smaller set has. Where both sets have as many as that,
    each subset is the whole set, and the deviation, which would be rounding alone, is None.
    """
    from torch_fidelity.metric_kid import kid_features_to_metric

    _check(fake, "fake features")
    _check(real, "real features")
    size = min(1000, len(fake), len(real))
    kid = kid_features_to_metric(fake, real, kid_subsets=subsets, kid_subset_size=size, rng_seed=seed, verbose=False)
    std = None if len(fake) == len(real) == size else float(kid["kernel_inception_distance_std"])
    return float(kid["kernel_inception_distance_mean"]), std


def inception_score(logits: Tensor) -> tuple[float, float]:
    """Returns exp(E KL(p(y|x) || p(y))) over 10 splits (Salimans et al. 2016), mean and standard deviation."""
    from torch_fidelity.metric_isc import isc_features_to_metric

    _check(logits, "logits")
    score = isc_features_to_metric(logits, 10)
    return float(score["inception_score_mean"]), float(score["inception_score_std"])


def precision_recall(fake: Tensor, real: Tensor) -> tuple[float, float]:
    """Returns improved precision and recall (Kynkaanniemi et al. 2019), both from 0 to 1, with 3 neighbours."""
    from torch_fidelity.metric_prc import prc_features_to_metric

    _check(fake, "fake features")
    _check(real, "real features")
    both = prc_features_to_metric(fake, real, prc_neighborhood=3, prc_batch_size=2000, save_cpu_ram=True, verbose=False)
    return float(both["precision"]), float(both["recall"])


PRC_IMAGES = 10_000
"""Precision and recall look at no more images of either set: their cost is the product of both numbers."""

FinalMetric = Callable[[Features, RealSet, int], tuple[float | None, ...]]

FINAL_METRICS: Mapping[tuple[str, ...], FinalMetric] = MappingProxyType(
    {
        ("fid",): lambda fake, real, seed: (
            frechet_distance(Statistics.of(fake.embedding), real.statistics, real.root),
        ),
        ("kid_mean", "kid_std"): lambda fake, real, seed: kernel_distance(fake.embedding, real.embedding, seed=seed),
        ("is_mean", "is_std"): lambda fake, real, seed: inception_score(fake.logits),
        ("precision", "recall"): lambda fake, real, seed: precision_recall(
            fake.embedding[:PRC_IMAGES], real.embedding[:PRC_IMAGES]
        ),
    }
)
"""Columns of the table ``evaluations`` -> the function of fakes, real images and seed that gives their values."""


def final_scores(fake: Features | None, real: RealSet, seed: int) -> dict[str, float | None]:
    """Returns all scores of a retrained network by column; each is None where its images were not finite (None).

    ``kid_std`` is None as well where :func:`kernel_distance` says so.
    """
    scores: dict[str, float | None] = {}
    for columns, metric in FINAL_METRICS.items():
        values = [None] * len(columns) if fake is None else metric(fake, real, seed)
        scores |= zip(columns, values, strict=True)
    return scores


def _check(features: Tensor, what: str) -> None:
    if features.ndim != 2 or len(features) < 2:
        raise MetricError(f"{what} of shape {tuple(features.shape)}: at least 2 images are wanted")
    if not bool(torch.isfinite(features).all()):
        raise MetricError(f"{what} are not all finite")
