"""The extractor that a study began with lies in its folder, and no other one takes its place without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from autogan_ray.config.sections import MetricsConfig
from autogan_ray.metrics.extractors import classifier
from autogan_ray.metrics.extractors.base import ExtractorWeights
from autogan_ray.study.study_extractor import EXTRACTOR, keep_extractor, other_extractor, study_extractor
from autogan_ray.training.data import ImageData

METRICS = MetricsConfig(extractor="classifier")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a cache of its own, where training comes out otherwise."""
    monkeypatch.setenv("AUTOGAN_RAY_CACHE", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(classifier, "_SEED", 1)


@pytest.mark.usefixtures("elsewhere")
def test_a_study_keeps_its_classifier_and_a_damaged_one_is_trained_again_and_said(
    digits: ImageData, extractor_weights: ExtractorWeights, tmp_path: Path
) -> None:
    about = {"extractor_digest": extractor_weights.digest}
    keep_extractor(about, tmp_path, extractor_weights)
    found = study_extractor(about, tmp_path, digits, METRICS)
    assert found == extractor_weights and other_extractor(about, found) is None
    assert not (tmp_path / "elsewhere").exists(), "nothing was trained"

    file = tmp_path / EXTRACTOR
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    other = study_extractor(about, tmp_path, digits, METRICS)
    warning = other_extractor(about, other)
    assert other.digest != extractor_weights.digest and warning is not None
    assert f"(digest {extractor_weights.digest[:12]}, now {other.digest[:12]})" in warning
    assert f"{tmp_path}/elsewhere/classifier-*.pt" in warning


@pytest.mark.usefixtures("elsewhere")
def test_another_classifier_than_that_of_the_first_scores_is_neither_kept_nor_taken(
    digits: ImageData, extractor_weights: ExtractorWeights, tmp_path: Path
) -> None:
    about = {"extractor_digest": "of the first scores"}
    keep_extractor(about, tmp_path, extractor_weights)
    assert not (tmp_path / EXTRACTOR).exists()
    keep_extractor({"extractor_digest": extractor_weights.digest}, tmp_path, extractor_weights)
    assert study_extractor(about, tmp_path, digits, METRICS).digest != extractor_weights.digest


def test_weights_that_are_published_are_not_copied_and_another_digest_is_said(tmp_path: Path) -> None:
    weights = ExtractorWeights("efficientnet-lite0", "now", b"")
    keep_extractor({"extractor_digest": "now"}, tmp_path, weights)
    assert not list(tmp_path.iterdir())
    warning = other_extractor({"extractor_digest": "before"}, weights)
    assert warning is not None and "(digest before, now now)" in warning and "trained" not in warning
    assert other_extractor({"extractor_digest": None}, weights) is other_extractor({}, weights) is None
