"""Our scores against torch-fidelity's on the same images, and against formulas of our own in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch_fidelity
from torch import Tensor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

from autogan_ray.base.errors import MetricError
from autogan_ray.config.sections import FEWEST_FINAL, FEWEST_REAL, SEEDS
from autogan_ray.metrics.evaluation import Evaluator, Protocol
from autogan_ray.metrics.extractors.base import ExtractorWeights
from autogan_ray.metrics.features import Extractor, Features
from autogan_ray.metrics.measure import floor
from autogan_ray.metrics.scores import (
    RealSet,
    Statistics,
    covariance_root,
    final_scores,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
)
from autogan_ray.nets.gan import Latents
from autogan_ray.training.data import ImageData

pytestmark = pytest.mark.timeout(120)  # KID over 100 subsets, precision and recall

NAME = "digits-classifier-of-these-tests"


class Images(torch.utils.data.Dataset):
    """uint8 [N, 3, H, W], one tensor an item, as torch-fidelity wants it."""

    def __init__(self, images: Tensor) -> None:
        self._images = images.expand(-1, 3, -1, -1)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Tensor:
        return self._images[index]


@pytest.fixture(scope="module")
def extractor(extractor_weights: ExtractorWeights) -> Extractor:
    found = Extractor(extractor_weights)

    class Registered(FeatureExtractorBase):
        """The same network, reached through torch-fidelity's own registry."""

        def __init__(self, name: str, features_list: list[str], **kwargs: Any) -> None:
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return "embedding", "logits"

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "logits" if metric == "isc" else "embedding"

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            features = found(x)
            both = {"embedding": features.embedding, "logits": features.logits}
            return tuple(both[name] for name in self.features_list)

    if NAME not in FEATURE_EXTRACTORS_REGISTRY:
        torch_fidelity.register_feature_extractor(NAME, Registered)
    return found


@pytest.fixture(scope="module")
def fake(digits: ImageData) -> Tensor:
    """Digits with noise: near enough to the real ones for scores of every kind to mean something."""
    noise = np.random.default_rng(3).normal(0, 40, digits.images.shape)
    return torch.from_numpy(np.clip(digits.images + noise, 0, 255).astype(np.uint8))[:1100]


@pytest.fixture(scope="module")
def theirs(extractor: Extractor, fake: Tensor, digits: ImageData) -> dict[str, float]:
    found: dict[str, float] = torch_fidelity.calculate_metrics(
        input1=Images(fake), input2=Images(torch.from_numpy(digits.images.copy())), feature_extractor=NAME,
        fid=True, kid=True, isc=True, prc=True, cuda=False, cache=False, save_cpu_ram=True, verbose=False,
    )  # fmt: skip
    return found


def test_fid_is_torch_fidelitys_to_a_millionth(
    extractor: Extractor, fake: Tensor, digits: ImageData, theirs: dict[str, float]
) -> None:
    real = RealSet.of(extractor, digits.images)
    ours = frechet_distance(Statistics.of(extractor(fake).embedding), real.statistics)
    assert ours == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)
    assert ours > 10


def test_the_evaluators_fid_is_torch_fidelitys_on_the_images_it_made(extractor: Extractor, digits: ImageData) -> None:
    evaluator = Evaluator(extractor, RealSet.of(extractor, digits.images), Protocol(300, 64, 2, seed=5), "cpu")

    def make(z: Tensor) -> Tensor:
        return torch.tanh(z.view(-1, 1, 8, 8))

    images = evaluator.images(make, Latents(64))
    assert images is not None and images.dtype == torch.uint8 and len(images) == 300
    found = torch_fidelity.calculate_metrics(
        input1=Images(images), input2=Images(torch.from_numpy(digits.images.copy())), feature_extractor=NAME,
        fid=True, cuda=False, cache=False, save_cpu_ram=True, verbose=False,
    )  # fmt: skip
    assert evaluator.score(make, Latents(64)).fid == pytest.approx(found["frechet_inception_distance"], rel=1e-6)


def test_fid_agrees_with_an_independent_formula_in_float64(
    extractor: Extractor, fake: Tensor, digits: ImageData
) -> None:
    one = extractor(fake).embedding.double().numpy()
    other = extractor(torch.from_numpy(digits.images.copy())).embedding.double().numpy()

    def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        centred = x - x.mean(0)
        return x.mean(0), centred.T @ centred / (len(x) - 1)

    (m1, s1), (m2, s2) = moments(one), moments(other)
    roots = np.sqrt(np.linalg.eigvals(s1 @ s2).astype(complex)).real.sum()
    wanted = ((m1 - m2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * roots
    ours = frechet_distance(Statistics.of(extractor(fake).embedding), RealSet.of(extractor, digits.images).statistics)
    assert ours == pytest.approx(wanted, rel=1e-4)


def test_the_frechet_distance_of_two_gaussians_has_a_closed_form() -> None:
    one = Statistics(np.zeros(3), np.diag([1.0, 4.0, 9.0]), 10)
    other = Statistics(np.array([1.0, 2.0, 2.0]), np.diag([4.0, 4.0, 1.0]), 10)
    assert frechet_distance(one, other) == pytest.approx(9 + (1 - 2) ** 2 + 0 + (3 - 1) ** 2)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)


def test_kid_inception_score_precision_and_recall_are_torch_fidelitys(
    extractor: Extractor, fake: Tensor, digits: ImageData, theirs: dict[str, float]
) -> None:
    features = extractor(fake)
    real = extractor(torch.from_numpy(digits.images.copy())).embedding
    mean, std = kernel_distance(features.embedding, real)
    assert mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-5)
    assert std == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-5)
    assert inception_score(features.logits)[0] == pytest.approx(theirs["inception_score_mean"], rel=1e-6)
    precision, recall = precision_recall(features.embedding, real)
    assert precision == pytest.approx(theirs["precision"], abs=1e-6)
    assert recall == pytest.approx(theirs["recall"], abs=1e-6)


def test_kid_has_no_deviation_where_every_subset_is_the_whole_of_both_sets(
    extractor: Extractor, fake: Tensor, digits: ImageData
) -> None:
    features, real = extractor(fake).embedding, extractor(torch.from_numpy(digits.images.copy())).embedding
    for n_fake, n_real, known in ((1000, 1000, False), (50, 50, False), (1001, 1001, True), (50, 1000, True)):
        mean, std = kernel_distance(features[:n_fake], real[:n_real], subsets=5)
        assert np.isfinite(mean) and (std is not None) is known


def test_collapse_and_lost_modes_score_far_worse_than_real_images(extractor: Extractor, digits: ImageData) -> None:
    real = RealSet.of(extractor, digits.images).statistics

    def score(chosen: np.ndarray) -> float:
        return frechet_distance(Statistics.of(extractor(torch.from_numpy(digits.images[chosen])).embedding), real)

    assert digits.labels is not None
    everything = score(np.arange(0, 1797, 2))
    one_class = score(np.flatnonzero(digits.labels == 3))
    collapsed = score(np.zeros(200, np.int64))
    assert one_class > 20 * everything and collapsed > 20 * everything


@pytest.mark.parametrize("call", [Statistics.of, lambda x: kernel_distance(x, x), inception_score])
def test_too_few_or_broken_features_are_refused(call: Callable[[Tensor], object]) -> None:
    with pytest.raises(MetricError, match="at least 2 images"):
        call(torch.randn(1, 4))
    with pytest.raises(MetricError, match="not all finite"):
        call(torch.full((4, 4), torch.nan))


@pytest.mark.parametrize("seed", [0, SEEDS - 1])
def test_the_fewest_images_and_the_greatest_seed_that_a_study_may_name_have_every_score(seed: int) -> None:
    rng = torch.Generator().manual_seed(0)
    fake = Features(*(torch.randn(FEWEST_FINAL, size, generator=rng) for size in (8, 3)))
    embedding = torch.randn(FEWEST_REAL, 8, generator=rng)
    statistics = Statistics.of(embedding)
    real = RealSet(statistics, covariance_root(statistics), embedding)
    scores = final_scores(fake, real, seed)
    assert all(score is not None and np.isfinite(score) for score in scores.values()), scores
    assert np.isfinite(floor(real))


def test_an_evaluation_of_nonsense_has_no_score(extractor: Extractor, digits: ImageData) -> None:
    evaluator = Evaluator(extractor, RealSet.of(extractor, digits.images), Protocol(64, 32, 2), "cpu")
    assert evaluator.score(lambda z: z.view(-1, 1, 8, 8) * torch.nan, Latents(64)).fid is None


@pytest.mark.parametrize(("batch_size", "n_fake", "shown"), [(64, 40, 32), (5, 40, 32), (31, 40, 32), (5, 9, 9)])
def test_a_score_shows_its_first_images_whatever_the_batch_size(
    extractor: Extractor, digits: ImageData, batch_size: int, n_fake: int, shown: int
) -> None:
    evaluator = Evaluator(extractor, RealSet.of(extractor, digits.images), Protocol(n_fake, batch_size, 2), "cpu")

    def make(z: Tensor) -> Tensor:
        return torch.tanh(z.view(-1, 1, 8, 8))

    found, images = evaluator.score(make, Latents(64)).images, evaluator.images(make, Latents(64))
    assert found is not None and images is not None and torch.equal(found, images[:shown])


def test_an_evaluation_draws_no_global_random_number(
    extractor: Extractor, extractor_weights: ExtractorWeights, digits: ImageData
) -> None:
    evaluator = Evaluator(extractor, RealSet.of(extractor, digits.images), Protocol(64, 32, 2), "cpu")
    before, numpy_before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    evaluator.score(lambda z: torch.tanh(z.view(-1, 1, 8, 8)) + 0 * torch.rand(()), Latents(64))
    Extractor(extractor_weights)
    assert torch.equal(before, torch.random.get_rng_state())
    assert np.array_equal(numpy_before, np.random.get_state()[1])
