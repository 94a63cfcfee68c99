"""Extractor weights: trained deterministically and cached, or read from a file that is checked."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autogan_ray.base.errors import MetricError
from autogan_ray.config.sections import MetricsConfig
from autogan_ray.metrics.extractors.classifier import state_digest, train_classifier
from autogan_ray.metrics.extractors.registry import extractor_named, metric_label
from autogan_ray.metrics.features import Extractor
from autogan_ray.metrics.measure import Measure, floor
from autogan_ray.metrics.scores import RealSet
from autogan_ray.training.data import ImageData


def test_a_classifier_is_the_same_at_every_training_whatever_the_threads(digits: ImageData) -> None:
    images, labels = digits.images[:400], digits.labels[:400]
    before = torch.random.get_rng_state()
    digests = set()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        torch.manual_seed(threads)
        digests.add(state_digest(train_classifier(images, labels)))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(1)
    torch.random.set_rng_state(before)
    assert len(digests) == 1


def test_a_classifier_knows_its_data(digits: ImageData, extractor_weights: Any) -> None:
    logits = Extractor(extractor_weights)(torch.from_numpy(digits.images.copy())).logits
    assert (logits.argmax(1).numpy() == digits.labels).mean() > 0.97


def test_the_floor_is_that_of_halves_drawn_without_regard_to_classes(digits: ImageData, extractor_weights: Any) -> None:
    real = RealSet.of(Extractor(extractor_weights), digits.images[:50])
    unlabelled = ImageData.of("no labels", digits.images.copy())
    both = [floor(Measure(data, extractor_weights, real)) for data in (digits, unlabelled)]
    assert both[0] == both[1] > 1


def test_grey_images_repeated_to_three_channels_have_the_same_features(
    digits: ImageData, extractor_weights: Any
) -> None:
    extractor, images = Extractor(extractor_weights), torch.from_numpy(digits.images[:9].copy())
    assert torch.equal(extractor(images).embedding, extractor(images.expand(-1, 3, -1, -1)).embedding)


@pytest.mark.parametrize("damage", ["torn", "a flipped bit"])
def test_a_classifier_whose_cached_file_is_damaged_is_trained_again(
    digits: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setenv("AUTOGAN_RAY_CACHE", str(tmp_path))
    data = ImageData.of("some digits", digits.images[:300].copy(), digits.labels[:300].copy())
    classifier, metrics = extractor_named("classifier"), MetricsConfig(extractor="classifier")
    first = classifier.prepare(data, metrics)
    (file,) = tmp_path.glob("classifier-*.pt")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content[:1000] if damage == "torn" else content)
    assert classifier.prepare(data, metrics).digest == first.digest
    start = file.stat().st_mtime_ns
    assert classifier.prepare(data, metrics) == first
    assert file.stat().st_mtime_ns == start  # read from the cache


def test_a_classifier_wants_labels_and_an_extractor_a_known_name(digits: ImageData) -> None:
    with pytest.raises(MetricError, match="learns from labels"):
        extractor_named("classifier").prepare(ImageData.of("no labels", digits.images), MetricsConfig())
    with pytest.raises(MetricError, match="did you mean 'classifier'"):
        extractor_named("clasifier")


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of Inception's form, 96 MB, from torch-fidelity's own class."""
    import torch_fidelity.feature_extractor_inceptionv3 as theirs

    file = tmp_path_factory.mktemp("weights") / "w.pth"

    class Stop(Exception):
        pass

    kept = {}

    def keep(self: torch.nn.Module, *_: object) -> None:
        kept.update(self.state_dict())
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theirs.FeatureExtractorInceptionV3, "load_state_dict", keep)
        patch.setattr(theirs, "load_state_dict_from_url", lambda *_, **__: {})
        with pytest.raises(Stop):
            theirs.FeatureExtractorInceptionV3("x", ["2048"])
    torch.save(kept, file)
    return file


def ask_inception(file: Path, sha256: str | None, digits: ImageData) -> Any:
    return extractor_named("inception-v3-compat").prepare(digits, MetricsConfig(weights=str(file), sha256=sha256))


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_inception_is_read_from_a_file_and_gives_its_features(inception_file: Path, digits: ImageData) -> None:
    digest = hashlib.sha256(inception_file.read_bytes()).hexdigest()
    weights = ask_inception(inception_file, digest[:10], digits)
    assert weights.digest == digest and metric_label(weights.name) == "FID"
    before = torch.random.get_rng_state()
    features = Extractor(weights)(torch.from_numpy(digits.images[:2].copy()))
    assert features.embedding.shape == (2, 2048) and features.logits.shape == (2, 1008)
    assert torch.equal(before, torch.random.get_rng_state())


def test_inception_weights_that_are_wrong_are_refused(tmp_path: Path, digits: ImageData) -> None:
    file = tmp_path / "w.pth"
    with pytest.raises(MetricError, match="does not exist"):
        ask_inception(file, None, digits)
    assert "does not exist" in str(extractor_named("inception-v3-compat").missing(MetricsConfig(weights=str(file))))
    torch.save({"weight": torch.zeros(2)}, file)
    with pytest.raises(MetricError, match=r"expected 6726825d.*metrics\.sha256"):
        ask_inception(file, None, digits)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(MetricError, match="not Inception v3's weights"):
        ask_inception(file, digest, digits)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(MetricError, match="not a file of weights"):
        ask_inception(file, hashlib.sha256(file.read_bytes()).hexdigest(), digits)
    np.save(tmp_path / "w.npy", np.zeros(3))
    with pytest.raises(MetricError, match="not a file of weights"):
        content = (tmp_path / "w.npy").read_bytes()
        ask_inception(tmp_path / "w.npy", hashlib.sha256(content).hexdigest(), digits)
