"""The Frechet distance from moments that come batch by batch: against exact singular values and torch-fidelity's."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from autogan_ray.metrics.evaluation import Evaluator, Protocol
from autogan_ray.metrics.extractors.base import ExtractorWeights
from autogan_ray.metrics.extractors.classifier import classifier_network
from autogan_ray.metrics.extractors.inception import INCEPTION
from autogan_ray.metrics.features import Extractor, Features, Gathered
from autogan_ray.metrics.measure import real_set
from autogan_ray.metrics.moments import Moments
from autogan_ray.metrics.scores import RealSet, Statistics, covariance_root, frechet_distance, root_sum
from autogan_ray.nets.gan import Latents
from autogan_ray.training.data import ImageData

D = 96


def drawn(count: int, seed: int, decay: float = 1.0, shift: float = 0.0, rank: int = D) -> Tensor:
    """Rectified features [count, D], as Inception's are, with a spectrum that falls as a power; float64."""
    axes = torch.linalg.qr(torch.randn(D, D, generator=torch.Generator().manual_seed(9)))[0]
    scales = 6 * torch.arange(1, D + 1).float() ** -decay
    scales[rank:] = 0
    z = torch.randn(count, D, generator=torch.Generator().manual_seed(seed))
    plain = 0.4 + shift + (z * scales) @ axes
    return (torch.relu(plain) if rank == D else plain).double()


def streamed(fake: Tensor, real: Tensor, batch: int = 64) -> float:
    statistics = Statistics.of(real)
    moments = Moments(covariance_root(statistics))
    for part in fake.split(batch):
        moments.add(part)
    return moments.frechet_distance(np.mean(fake.numpy(), axis=0), statistics)


def exact(fake: Tensor, real: Tensor) -> float:
    """tr((S1 S2)^(1/2)) is the sum of the singular values of X1 X2^T: nothing is squared, so no digits are lost."""
    difference = fake.mean(0) - real.mean(0)
    one = (fake - fake.mean(0)) / (len(fake) - 1) ** 0.5
    other = (real - real.mean(0)) / (len(real) - 1) ** 0.5
    cross = torch.linalg.qr(one, mode="r")[1] @ torch.linalg.qr(other, mode="r")[1].T
    squares = one.square().sum() + other.square().sum()
    return float(difference.square().sum() + squares - 2 * torch.linalg.svdvals(cross).sum())


def theirs(fake: Tensor, real: Tensor) -> float:
    both = (fid_features_to_statistics(fake), fid_features_to_statistics(real))
    return float(fid_statistics_to_metric(*both, verbose=False)["frechet_inception_distance"])


FULL = {
    "slow decay": (drawn(700, 1, shift=0.1), drawn(900, 2)),
    "fast decay": (drawn(700, 1, decay=2.0, shift=0.1), drawn(900, 2, decay=2.0)),
    "unlike spectra": (drawn(700, 1, decay=0.3), drawn(900, 2, decay=2.0)),
    "far away": (drawn(700, 1, shift=1000.0), drawn(900, 2)),
}
SINGULAR = {
    "few fakes": (drawn(40, 1), drawn(900, 2)),
    "about half as many fakes as dimensions": (drawn(49, 1), drawn(900, 2)),
    "few real images": (drawn(700, 1), drawn(50, 2)),
    "few of both": (drawn(40, 1), drawn(50, 2)),
    "fakes of few kinds": (drawn(700, 1, rank=5), drawn(900, 2)),
    "one fake repeated": (drawn(1, 1).repeat(700, 1), drawn(900, 2)),
}


@pytest.mark.parametrize("name", FULL)
def test_streamed_and_whole_distances_are_torch_fidelitys_in_float64(name: str) -> None:
    fake, real = FULL[name]
    wanted = theirs(fake, real)
    assert wanted > 0.1
    assert streamed(fake, real) == pytest.approx(wanted, rel=1e-8)
    assert frechet_distance(Statistics.of(fake), Statistics.of(real)) == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize("name", {**FULL, **SINGULAR})
def test_the_streamed_distance_is_exact_where_torch_fidelity_adds_roots_of_rounding(name: str) -> None:
    fake, real = {**FULL, **SINGULAR}[name]
    wanted = exact(fake, real)
    assert streamed(fake, real) == pytest.approx(wanted, rel=1e-7)
    # Eigenvalues that should be 0 are 1e-16 of the largest, their roots 1e-8: the noise of the published form.
    spread = float(fake.var(0).sum() + real.var(0).sum())
    assert theirs(fake, real) == pytest.approx(wanted, rel=1e-6, abs=2e-8 * D * spread)


def test_identical_sets_are_at_no_distance_from_each_other() -> None:
    real = drawn(900, 2)
    assert abs(streamed(real, real)) < 1e-9
    assert abs(frechet_distance(Statistics.of(real), Statistics.of(real))) < 1e-9


@pytest.mark.parametrize("batch", [1, 7, 300, 5000])
def test_how_features_are_cut_into_batches_does_not_matter(batch: int) -> None:
    for fake, real in (FULL["slow decay"], SINGULAR["few fakes"]):
        assert streamed(fake, real, batch) == pytest.approx(exact(fake, real), rel=1e-7)


def test_the_root_gives_the_covariance_back_and_has_no_column_for_rounding() -> None:
    for count, rank in ((900, D), (50, 49)):
        statistics = Statistics.of(drawn(count, 2))
        root = covariance_root(statistics)
        assert root.shape == (D, rank) and root.dtype == torch.float64
        assert torch.allclose(root @ root.T, torch.from_numpy(statistics.covariance), atol=1e-12)


def test_the_roots_of_small_eigenvalues_keep_their_digits_in_a_graded_matrix() -> None:
    """In the other triangle they are lost: the sum is wrong in its ninth digit."""
    mixed = torch.eye(60).double() + 0.3 * torch.randn(60, 60, generator=torch.Generator().manual_seed(1)).double() / 8
    factor = mixed * torch.logspace(-7, 0, 60, dtype=torch.float64)
    wanted = float(torch.linalg.svdvals(factor).sum())
    assert root_sum(factor.T @ factor) == pytest.approx(wanted, rel=1e-13)


def test_an_evaluators_score_is_the_distance_of_the_features_it_gathers(
    digits: ImageData, extractor_weights: ExtractorWeights
) -> None:
    extractor = Extractor(extractor_weights)
    real = RealSet.of(extractor, digits.images[:500])
    evaluator = Evaluator(extractor, real, Protocol(150, 64, 1), "cpu")

    def make(z: Tensor) -> Tensor:
        return torch.tanh(z.view(-1, 1, 8, 8))

    features, images = evaluator.features(make, Latents(64)), evaluator.images(make, Latents(64))
    assert features is not None and images is not None
    again = extractor(images, batch_size=64)
    assert torch.equal(features.embedding, again.embedding) and torch.equal(features.logits, again.logits)
    wanted = frechet_distance(Statistics.of(features.embedding), real.statistics)
    assert evaluator.score(make, Latents(64)).fid == pytest.approx(wanted, rel=1e-8)
    assert not features.embedding.is_inference(), "such a tensor could never be learned from"


def test_gathered_features_must_be_as_many_as_announced() -> None:
    gathered = Gathered(3)
    gathered.add(Features(torch.ones(2, 4), torch.ones(2, 2)))
    with pytest.raises(AssertionError):
        _ = gathered.features
    gathered.add(Features(torch.zeros(1, 4), torch.zeros(1, 2)))
    assert gathered.features.embedding.tolist() == [[1.0] * 4, [1.0] * 4, [0.0] * 4]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_classifiers_features_are_those_of_its_float64_form_to_a_millionth(channels: int) -> None:
    torch.manual_seed(0)
    network = classifier_network(channels, 10)
    weights = ExtractorWeights("classifier", "of this test", saved(network.state_dict()), channels, 10)
    images = torch.randint(0, 256, (20, channels, 16, 16), dtype=torch.uint8)
    with torch.no_grad():
        features = network.double().body(images.double() / 127.5 - 1)
        wanted = features, network.head(features)
    found = Extractor(weights)(images)
    for one, other in ((found.embedding, wanted[0]), (found.logits, wanted[1])):
        assert float((one - other).norm() / other.norm()) < 1e-6


@pytest.mark.timeout(90)
def test_inceptions_features_are_torch_fidelitys_to_a_millionth() -> None:
    """With random weights of a size that lets signals through: the published ones are 96 MB."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Untrained(FeatureExtractorInceptionV3):
        def load_state_dict(self, *_: object, **__: object) -> None: ...

    torch.manual_seed(0)
    plain = Untrained(INCEPTION, ["2048", "logits_unbiased"], feature_extractor_weights_path=io.BytesIO(saved({})))
    for module in plain.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    wanted = plain(images)
    found = Extractor(ExtractorWeights(INCEPTION, "of this test", saved(plain.state_dict())))(images)
    for one, other in zip((found.embedding, found.logits), wanted, strict=True):
        assert 0 < float(other.norm()) and float((one - other).norm() / other.norm()) < 1e-6


def saved(state: dict[str, Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def test_a_real_set_ships_the_features_it_keeps_and_no_others(
    digits: ImageData, extractor_weights: ExtractorWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RealSet, "KEPT", 10)
    real = RealSet.of(Extractor(extractor_weights), digits.images[:400])
    assert len(real.embedding) == 10 and real.embedding.untyped_storage().nbytes() == 10 * 64 * 4
    other = pickle.loads(pickle.dumps(real))
    assert torch.equal(other.root, real.root)


def test_the_features_that_are_kept_have_each_class_whatever_the_order_of_the_files(
    digits: ImageData, extractor_weights: ExtractorWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert digits.labels is not None
    monkeypatch.setattr(RealSet, "KEPT", 100)
    alternating = np.stack([np.flatnonzero(digits.labels == label)[:100] for label in (0, 1)], axis=1).ravel()
    images, labels = digits.images[alternating], np.arange(200) % 2
    features = Extractor(extractor_weights)(torch.from_numpy(images.copy())).embedding
    zeros = {tuple(row) for row in features[::2].tolist()}
    for data, least, most in (
        (ImageData.of("two classes", images, labels), 50, 50),
        (ImageData.of("two classes without labels", images), 35, 65),
    ):
        kept = real_set(data, extractor_weights, 200, "cpu").embedding
        assert len(kept) == 100 and least <= sum(tuple(row) in zeros for row in kept.tolist()) <= most


def test_all_features_are_kept_in_the_order_of_the_images_where_they_are_few(
    digits: ImageData, extractor_weights: ExtractorWeights
) -> None:
    extractor = Extractor(extractor_weights)
    features = extractor(torch.from_numpy(digits.images.copy()))
    assert torch.equal(RealSet.of(extractor, digits.images, digits.labels).embedding, features.embedding)


def test_the_root_is_found_once_a_study_and_kept_beside_the_statistics(
    digits: ImageData, extractor_weights: ExtractorWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = real_set(digits, extractor_weights, 300, "cpu")
    monkeypatch.setattr(RealSet, "of", None)  # nothing is extracted or taken apart again
    again = real_set(digits, extractor_weights, 300, "cpu")
    assert torch.equal(real.root, again.root) and torch.equal(real.root, covariance_root(again.statistics))
