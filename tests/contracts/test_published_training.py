"""Every shipped genotype, published or hand-made, trains: on grey digits, and on coloured images from Parquet."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from autogan_ray.base import catalog
from autogan_ray.config.sections import DataConfig, MetricsConfig, RetrainConfig
from autogan_ray.metrics.evaluation import Evaluator, Protocol
from autogan_ray.metrics.extractors.base import ExtractorWeights
from autogan_ray.metrics.extractors.registry import extractor_named
from autogan_ray.metrics.features import Extractor
from autogan_ray.metrics.scores import RealSet
from autogan_ray.nets.gan import Discriminator, Generator, Shape
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.spaces.load import space_of
from autogan_ray.spaces.published import load_genotype
from autogan_ray.spaces.space import SearchSpace
from autogan_ray.training.data import ImageData, load_data
from autogan_ray.training.loop import TrainLoop
from autogan_ray.training.streams import to_uint8

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

NAMES = catalog.names("genotype")
# Some of each kind of network; docs/published.md has the command and the figures of all.
KINDS = ("autogan-a", "eagan-stl10", "dcgan", "stylegan2", "biggan", "r3gan")
STEPS, BATCH = 200, 8
CONFIG = RetrainConfig(
    kimg=STEPS * BATCH / 1000, batch_size=BATCH, d_steps_per_g_step=1, lr_g=1e-3, lr_d=1e-3, ema=0.9, evaluations=2
)


@pytest.fixture(scope="module")
def grey(own_cache: Path) -> ImageData:
    return load_data(DataConfig(image_size=32, limit=500))


@pytest.fixture(scope="module")
def coloured(grey: ImageData, tmp_path_factory: pytest.TempPathFactory) -> ImageData:
    """Digits in colours on coloured grounds, JPEG in Parquet, with labels."""
    assert grey.labels is not None
    rng, rows = np.random.default_rng(0), []
    for image, label in zip(grey.images[:300], grey.labels, strict=False):
        ink, ground = rng.uniform(0, 255, (2, 3, 1, 1))
        share = image / 255.0
        pixels = (share * ink + (1 - share) * ground).astype(np.uint8).transpose(1, 2, 0)
        encoded = io.BytesIO()
        Image.fromarray(pixels).save(encoded, "JPEG", quality=95)
        rows.append({"image": {"bytes": encoded.getvalue()}, "label": int(label)})
    file = tmp_path_factory.mktemp("coloured") / "train.parquet"
    pd.DataFrame(rows).to_parquet(file)
    return load_data(DataConfig(source=f"parquet:{file}"))


def evaluator_of(data: ImageData) -> Evaluator:
    weights = extractor_named("classifier").prepare(data, MetricsConfig(extractor="classifier"))
    extractor = Extractor(weights)
    return Evaluator(extractor, RealSet.of(extractor, data.images), Protocol(256, 64, 2), "cpu")


@pytest.fixture(scope="module")
def evaluator(grey: ImageData) -> Evaluator:
    return evaluator_of(grey)


def loop_of(name: str, data: ImageData) -> TrainLoop:
    genotype = load_genotype(name)
    space: SearchSpace = space_of(genotype)
    genotype = space.resized(genotype, 32)
    shares: tuple[float, ...] = ()
    if space.takes_classes(genotype.choices) and data.labels is not None:
        shares = tuple(np.bincount(data.labels) / len(data))
    shape = Shape(32, data.channels, channels_g=12, channels_d=12, latent_dim=24, class_shares=shares)

    def build() -> tuple[Generator, Discriminator]:
        return Generator(space, shape, genotype.choices), Discriminator(space, shape, genotype.choices)

    return TrainLoop(build, CONFIG, data, seed=0)


@pytest.mark.parametrize("name", KINDS)
def test_two_hundred_steps_bring_a_generator_nearer_to_the_digits(
    name: str, grey: ImageData, evaluator: Evaluator
) -> None:
    loop = loop_of(name, grey)
    latents = loop.generator.latents

    def score(network: torch.nn.Module) -> float | None:
        evaluator.update_batch_norm(network, network, latents)
        return evaluator.score(network.eval(), latents, kid=False).fid

    untrained = score(loop.ema.network)
    while loop.run(score):
        pass
    assert loop.step_d == STEPS and untrained is not None
    assert math.isfinite(loop.best["fid"]) and loop.best["fid"] < untrained
    assert all(bool(torch.isfinite(p).all()) for p in loop.generator.parameters())
    assert latents.classes == (10 if name == "biggan" else 0)


@pytest.mark.parametrize("name", NAMES)
def test_coloured_images_from_parquet_train_every_network(name: str, coloured: ImageData) -> None:
    assert coloured.images.shape[1:] == (3, 32, 32)
    loop = loop_of(name, coloured)
    before = {key: value.clone() for key, value in loop.discriminator.named_parameters()}
    for _ in range(20):
        loop.step()
    z = loop.generator.latents.draw(4, torch.Generator().manual_seed(0))
    images = loop.generator(z)
    assert images.shape == (4, 3, 32, 32) and bool(torch.isfinite(images).all())
    assert any(not torch.equal(before[key], value) for key, value in loop.discriminator.named_parameters())


def test_a_class_conditional_generator_makes_what_is_asked_for(
    digits: ImageData, extractor_weights: ExtractorWeights
) -> None:
    """The classifier tells which class was asked for far better than by chance, which is 0.1."""
    shape = Shape(8, 1, channels_g=16, channels_d=16, latent_dim=12, class_shares=(0.1,) * 10)
    space = space_of(load_genotype("biggan"))

    def build() -> tuple[Generator, Discriminator]:
        choices = load_genotype("biggan").choices
        return Generator(space, shape, choices), Discriminator(space, shape, choices)

    config = RetrainConfig(kimg=9.6, batch_size=32, d_steps_per_g_step=1, lr_g=2e-3, lr_d=2e-3, ema=0.9, evaluations=1)
    loop = TrainLoop(build, config, digits, seed=0)
    while loop.step_d < loop.total_steps:
        loop.step()
    extractor = Extractor(extractor_weights)
    evaluator = Evaluator(extractor, RealSet.of(extractor, digits.images), Protocol(64, 64, 4), "cpu")
    latents, network, hits = loop.generator.latents, loop.ema.network, []
    evaluator.update_batch_norm(network, network, latents)
    for label in range(10):
        z = latents.draw(40, torch.Generator().manual_seed(label), label=label)
        with torch.no_grad():
            images = to_uint8(network.eval()(z))
        hits.append(float((extractor(images).logits.argmax(1) == label).float().mean()))
    assert sum(hits) / 10 > 0.5, hits


def test_a_genotype_of_another_size_is_refused(grey: ImageData) -> None:
    from autogan_ray.base.errors import GenotypeError

    genotype: Genotype = load_genotype("autogan-a")
    with pytest.raises(GenotypeError, match="is for 32 px and cannot serve 8 px"):
        space_of(genotype).resized(genotype, 8)
