"""Extractor weights: trained deterministically and cached, or read from a file that is checked."""

from __future__ import annotations

import hashlib
import io
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from autogan_ray.base.errors import MetricError
from autogan_ray.cli.main import main
from autogan_ray.config.sections import MetricsConfig
from autogan_ray.metrics.extractors.base import saved_state
from autogan_ray.metrics.extractors.classifier import state_digest, train_classifier
from autogan_ray.metrics.extractors.registry import extractor_named, metric_label
from autogan_ray.metrics.features import Extractor
from autogan_ray.metrics.measure import floor
from autogan_ray.metrics.scores import RealSet, Statistics, frechet_distance
from autogan_ray.training.data import ImageData
from autogan_ray.training.images.sampling import split_halves


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


def test_the_floor_is_the_distance_of_two_halves_of_the_real_images(digits: ImageData, extractor_weights: Any) -> None:
    extractor = Extractor(extractor_weights)
    real = RealSet.of(extractor, digits.images)
    halves = [extractor(torch.from_numpy(digits.images[half])) for half in split_halves(len(digits), None, seed=0)]
    expected = frechet_distance(*(Statistics.of(half.embedding) for half in halves))
    assert floor(real) == pytest.approx(expected, rel=1e-3) and expected > 1


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
def inception_state() -> dict[str, torch.Tensor]:
    """Random weights of Inception's form from torch-fidelity's own class."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Untrained(FeatureExtractorInceptionV3):
        def load_state_dict(self, *_: object, **__: object) -> None: ...

    nothing = io.BytesIO(saved_state({}))
    state: dict[str, torch.Tensor] = Untrained("x", ["2048"], feature_extractor_weights_path=nothing).state_dict()
    return state


@pytest.fixture(scope="module")
def inception_file(inception_state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 96 MB."""
    file = tmp_path_factory.mktemp("weights") / "w.pth"
    torch.save(inception_state, file)
    return file


def slim(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same shapes, each a single number that is repeated: a file of these has a hundredth of the size."""
    return {name: value.new_zeros(()).expand(value.shape) for name, value in state.items()}


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


def checked(state: object, file: Path) -> None:
    """As before a study starts."""
    torch.save(state, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    extractor_named("inception-v3-compat").check(MetricsConfig(weights=str(file), sha256=digest), classes=0)


KEYS = (
    *("Conv2d_1a_3x3.conv.weight", "Conv2d_4a_3x3.bn.running_var", "Mixed_5b.branch_pool.bn.bias"),
    *("Mixed_6e.branch7x7_2.conv.weight", "Mixed_7c.branch3x3dbl_3b.bn.running_mean", "fc.weight", "fc.bias"),
)


@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_is_missing_or_of_another_shape_or_type_is_named(
    inception_state: dict[str, torch.Tensor], tmp_path: Path, key: str
) -> None:
    file, state = tmp_path / "w.pth", slim(inception_state)
    checked(state, file)
    shape = re.escape(str(tuple(state[key].shape)))
    wrong: list[tuple[object, str]] = [
        (torch.zeros(3, 1), rf"has shape \(3, 1\) and not {shape}"),
        (state[key].double(), r"is of torch\.float64 and not of torch\.float32"),
        (7, "is a int and no tensor"),
    ]
    for value, said in wrong:
        with pytest.raises(MetricError, match=rf"{file}: not Inception v3's weights: {re.escape(key)} {said}$"):
            checked(state | {key: value}, file)
    del state[key]
    with pytest.raises(MetricError, match=rf"{file}: not Inception v3's weights: {re.escape(key)} is missing$"):
        checked(state, file)


def test_a_surplus_key_and_what_is_no_dict_are_named(inception_state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    file, state = tmp_path / "w.pth", slim(inception_state)
    for surplus in ("AuxLogits.fc.bias", 5):
        with pytest.raises(MetricError, match=rf"{file}: .*: {surplus!r} is none of its weights$"):
            checked(state | {surplus: torch.zeros(1)}, file)
    for other, kind in (([torch.zeros(2)], "list"), (torch.zeros(2), "Tensor"), (3, "int")):
        with pytest.raises(MetricError, match=rf"{file}: .*: the file holds a {kind} and no dict of tensors$"):
            checked(other, file)


@pytest.mark.parametrize("noted", [True, False])
def test_weights_that_pass_the_check_are_loaded_whatever_torch_noted_beside_them(
    inception_state: dict[str, torch.Tensor], tmp_path: Path, digits: ImageData, noted: bool
) -> None:
    """Without the counters of batch norms, which a file from before torch had them lacks."""
    file = tmp_path / "w.pth"
    bare = OrderedDict((n, v) for n, v in slim(inception_state).items() if not n.endswith("num_batches_tracked"))
    if noted:
        vars(bare)["_metadata"] = vars(inception_state)["_metadata"]  # what torch notes beside the weights
    checked(bare, file)
    weights = ask_inception(file, hashlib.sha256(file.read_bytes()).hexdigest(), digits)
    extractor_named("inception-v3-compat").build(weights)


def test_a_study_with_weights_of_another_network_ends_with_2_before_anything_runs(tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    torch.save({"fc.weight": torch.zeros(1008, 2048)}, file)
    settings = (
        "metrics.extractor=inception-v3-compat",
        f"metrics.weights={file}",
        f"metrics.sha256={hashlib.sha256(file.read_bytes()).hexdigest()}",
    )
    asked = ["run", "smoke", "--out", str(tmp_path / "out"), *(word for one in settings for word in ("--set", one))]
    for words in (asked, [*asked, "--dry-run"]):
        found = CliRunner().invoke(main, words)
        assert found.exit_code == 2, found.output
        assert f"{file}: not Inception v3's weights: Conv2d_1a_3x3.conv.weight is missing" in " ".join(
            found.output.split()
        )
    assert not list((tmp_path / "out").glob("*/trials.parquet"))


def test_inception_weights_that_are_wrong_are_refused(tmp_path: Path, digits: ImageData) -> None:
    file = tmp_path / "w.pth"
    with pytest.raises(MetricError, match="does not exist"):
        ask_inception(file, None, digits)
    assert "does not exist" in str(extractor_named("inception-v3-compat").missing(MetricsConfig(weights=str(file))))
    torch.save({"weight": torch.zeros(2)}, file)
    with pytest.raises(MetricError, match=r"expected 6726825d.*metrics\.sha256"):
        ask_inception(file, None, digits)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(
        MetricError, match=r"not Inception v3's weights: Conv2d_1a_3x3\.conv\.weight is missing \(\d+ such"
    ):
        ask_inception(file, digest, digits)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(MetricError, match="not a file of weights"):
        ask_inception(file, hashlib.sha256(file.read_bytes()).hexdigest(), digits)
    np.save(tmp_path / "w.npy", np.zeros(3))
    with pytest.raises(MetricError, match="not a file of weights"):
        content = (tmp_path / "w.npy").read_bytes()
        ask_inception(tmp_path / "w.npy", hashlib.sha256(content).hexdigest(), digits)
