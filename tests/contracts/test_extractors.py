"""What every extractor must fulfil: the driver pickles its weights, workers build it, and scores read its features."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
import torch

from autogan_ray.base.errors import MetricError
from autogan_ray.config.sections import MetricsConfig
from autogan_ray.metrics.extractors.base import ExtractorWeights
from autogan_ray.metrics.extractors.registry import EXTRACTORS, extractor_named
from autogan_ray.metrics.features import Extractor
from autogan_ray.metrics.scores import RealSet, final_scores
from autogan_ray.training.data import ImageData

NEEDS_A_DOWNLOAD = {"inception-v3-compat"}
"""Extractors whose weights are in no package; ``tests/metrics/test_weights.py`` reads a file of their form."""
HERE = sorted(set(EXTRACTORS) - NEEDS_A_DOWNLOAD)


@pytest.fixture(scope="module", params=HERE)
def weights(
    request: pytest.FixtureRequest, digits: ImageData, tmp_path_factory: pytest.TempPathFactory
) -> ExtractorWeights:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOGAN_RAY_CACHE", str(tmp_path_factory.mktemp("cache")))
        metrics = MetricsConfig(extractor=request.param)
        extractor_named(request.param).check(metrics, classes=10)
        return extractor_named(request.param).prepare(few(digits), metrics)


def few(digits: ImageData) -> ImageData:
    return ImageData.of("some digits", digits.images[:300].copy(), digits.labels[:300].copy())


def test_extractors_are_found_by_their_names() -> None:
    assert all(extractor_named(name).name == name and extractor_named(name).label for name in EXTRACTORS)
    assert len({extractor.label for extractor in EXTRACTORS.values()}) == len(EXTRACTORS)


def test_an_extractor_whose_weights_are_not_here_says_so_before_anything_runs() -> None:
    for name in NEEDS_A_DOWNLOAD:
        missing = extractor_named(name).missing(MetricsConfig(extractor=name, weights="/nowhere/weights.pth"))
        assert missing is not None and "/nowhere/weights.pth" in missing
    assert all(extractor_named(name).missing(MetricsConfig(extractor=name)) is None for name in HERE)


def test_weights_are_named_by_a_digest_that_is_the_same_each_time(
    weights: ExtractorWeights, digits: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOGAN_RAY_CACHE", str(tmp_path))
    again = extractor_named(weights.name).prepare(few(digits), MetricsConfig(extractor=weights.name))
    assert re.fullmatch(r"[0-9a-f]{64}", weights.digest) and again.digest == weights.digest


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [8, 32])
def test_features_are_finite_repeat_and_depend_on_each_image_alone(
    weights: ExtractorWeights, channels: int, side: int
) -> None:
    images = torch.randint(256, (7, channels, side, side), dtype=torch.uint8)
    draw = torch.random.get_rng_state()
    extractor = Extractor(pickle.loads(pickle.dumps(weights)))
    features = extractor(images)
    assert torch.equal(draw, torch.random.get_rng_state())
    assert features.embedding.ndim == 2 and len(features.embedding) == 7
    assert features.logits.shape == (7, weights.classes)
    assert features.embedding.dtype == features.logits.dtype == torch.float32
    assert bool(features.embedding.isfinite().all() and features.logits.isfinite().all())
    order = torch.randperm(7)
    again, atol = extractor(images[order], batch_size=3).embedding, 1e-5 * float(features.embedding.abs().max())
    torch.testing.assert_close(again, features.embedding[order], rtol=0, atol=atol)


def test_every_score_of_a_retrained_network_is_finite_and_a_set_is_nearest_to_itself(
    weights: ExtractorWeights, digits: ImageData
) -> None:
    images = digits.images[:60].copy()
    extractor = Extractor(weights)
    real = RealSet.of(extractor, images)
    same = final_scores(extractor(torch.from_numpy(images)), real, seed=0)
    noise = final_scores(extractor(torch.randint(256, images.shape, dtype=torch.uint8)), real, seed=0)
    assert same.pop("kid_std") is noise.pop("kid_std") is None  # one subset is the whole of both sets
    assert all(value is not None and torch.tensor(value).isfinite() for value in (*same.values(), *noise.values()))
    assert abs(same["fid"] or 0.0) < 1e-3 < (noise["fid"] or 0.0)


def test_an_extractor_that_cannot_serve_raises_before_it_computes(digits: ImageData) -> None:
    unlabelled = ImageData.of("no labels", digits.images[:50].copy())
    for name in HERE:
        extractor = extractor_named(name)
        try:
            extractor.check(MetricsConfig(extractor=name), classes=0)
        except MetricError:
            with pytest.raises(MetricError):
                extractor.prepare(unlabelled, MetricsConfig(extractor=name))
        else:
            extractor.prepare(unlabelled, MetricsConfig(extractor=name))
