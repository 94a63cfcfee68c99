"""What is measured: named configurations, taken from the shipped studies where these say something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from autogan_ray.base.errors import ConfigError, nearest
from autogan_ray.config.sections import DataConfig, RetrainConfig
from autogan_ray.config.study import StudyConfig, TrialConfig, assign, load_study_config, sweepable
from autogan_ray.nets.shape import Shape
from autogan_ray.spaces.blocks import FixedPart
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.published import load_genotype
from autogan_ray.spaces.space import SearchSpace
from autogan_ray.training.data import ImageData, load_data

RELAXATIONS = ("softmax", "gumbel", "gumbel_hard")
TEMPERATURE = 1.0
NARROW = {"channels_g": 6, "channels_d": 6, "latent_dim": 12}
NARROW_BATCH = 4
STILL = 1e-12
"""A learning rate that moves no float32 weight."""


@dataclass(frozen=True)
class _Base:
    """A study, and what is otherwise: widths, images a batch (of both loops), steps of D for one of G."""

    about: str
    study: str
    image_size: int
    width: int | None = None
    latent_dim: int | None = None
    batch_size: int | None = None
    d_steps: int | None = None
    sampled: int = 1024
    """Images of one sampling pass."""


CONFIGURATIONS = {
    "digits": _Base("the shipped digits study: 8 px, its widths, batch and ratio", "digits", 8),
    "cifar-small": _Base("32 px, widths 16/16, batch 32", "cifar10", 32, 16, 30, 32, 1, 256),
    "cifar-small-32": _Base("32 px, widths 32/32, batch 32", "cifar10", 32, 32, 60, 32, 1, 256),
    "adversarialnas": _Base("the published search: 32 px, widths 160/80, batch 60 + 60, 5 D steps", "cifar10", 32),
    "tiny": _Base("for tests: 8 px, widths 4/4, batch 4, 2 D steps", "digits", 8, 4, 8, 4, 2, 8),
}


@dataclass(frozen=True)
class Setup:
    """One configuration, resolved.

    Args:
        choices: of the network that is retrained and sampled, decision -> choice.
        space_d: whose discriminator is retrained, as that may be the fixed one.
        shape: of the search's networks; ``shape_retrain``: of the retrained ones.
        sampled: images of one sampling pass; ``sample_batch``: of one batch of it.
    """

    name: str
    trial: TrialConfig
    retrain: RetrainConfig
    space: SearchSpace
    space_d: SearchSpace
    choices: Mapping[str, str]
    shape: Shape
    shape_retrain: Shape
    data: ImageData
    sampled: int
    sample_batch: int


def setup(
    name: str,
    *,
    relaxation: str = "softmax",
    space: str | None = None,
    settings: Mapping[str, Any] = MappingProxyType({}),
    narrow: bool = False,
    still: bool = False,
) -> Setup:
    """A configuration by name.

    Args:
        space: a search space, None for the study's.
        settings: dotted key of a trial or of ``retrain`` -> value; the plain side computes in its own way.
        narrow: the same networks at small widths and batches, in fp32 and not compiled: only agreement is asked.
        still: learning rates so small that no weight moves in float32.

    Raises:
        ConfigError, NotFoundError, SpaceError: an unknown name, with the nearest known one.
    """
    if name not in CONFIGURATIONS:
        raise ConfigError(f"configuration {name!r} is unknown; {nearest(name, CONFIGURATIONS)}")
    base = CONFIGURATIONS[name]
    study = load_study_config(base.study)
    found = load_space(space or study.space)
    known = [*sweepable(), *(f"retrain.{field}" for field in RetrainConfig.model_fields)]
    for key in settings:
        if key not in known:
            raise ConfigError(f"--set {key}: no setting {key!r} of a trial or of retrain; {nearest(key, known)}")
    given = {**settings, "search.relaxation": relaxation}
    if narrow:
        given = {key: value for key, value in given.items() if key not in ("compute.precision", "compute.compile")}
    trial = _trial(base, study, found.name, given, narrow, still)
    retrain = _retrain(base, study.retrain, given, narrow, still)
    fixed = found.model_copy(update={"discriminator": FixedPart(kind="autogan_fixed")})
    data = _data(base)
    shape = Shape.of(trial.model, data.image_size, data.channels, trial.search.spectral_norm_in_force)
    retrained = replace(
        shape,
        channels_g=retrain.channels_g or shape.channels_g,
        channels_d=retrain.channels_d or shape.channels_d,
        latent_dim=retrain.latent_dim or shape.latent_dim,
        spectral_norm_d=retrain.spectral_norm_in_force,
    )
    return Setup(
        name,
        trial,
        retrain,
        found,
        fixed if retrain.discriminator == "fixed" else found,
        _choices(found, base.image_size),
        shape,
        retrained,
        data,
        NARROW_BATCH if narrow else base.sampled,
        min(base.sampled, study.metrics.batch_size),
    )


def _trial(
    base: _Base, study: StudyConfig, space: str, given: Mapping[str, Any], narrow: bool, still: bool
) -> TrialConfig:
    """The study's widths, rates, batch and ratio; all else as the package's defaults have it, logits never frozen."""
    model, optim = study.model.model_dump(), study.optim.model_dump()
    if base.width:
        model |= {"channels_g": base.width, "channels_d": base.width, "latent_dim": base.latent_dim}
    search: dict[str, Any] = {
        "batch_size": base.batch_size or study.search.batch_size,
        "d_steps_per_g_step": base.d_steps or study.search.d_steps_per_g_step,
        "warmup": 0.0,
        "temperature_start": TEMPERATURE,
        "temperature_end": TEMPERATURE,
        "temperature_schedule": "constant",
    }
    values: dict[str, Any] = {"space": space, "seed": 0, "model": model, "optim": optim, "search": search}
    for key, value in given.items():
        if not key.startswith("retrain."):
            assign(values, key, value)
    if narrow:
        model |= {key: min(model[key], most) for key, most in NARROW.items()}
        search["batch_size"] = NARROW_BATCH
    if still:
        optim |= dict.fromkeys(("lr_g", "lr_d", "lr_arch_g", "lr_arch_d"), STILL)
    return TrialConfig.parse(values, f"configuration of {base.study}", ConfigError)


def _retrain(base: _Base, config: RetrainConfig, given: Mapping[str, Any], narrow: bool, still: bool) -> RetrainConfig:
    values = config.model_dump()
    values["d_steps_per_g_step"] = base.d_steps or config.d_steps_per_g_step
    if base.batch_size:
        values |= {"batch_size": base.batch_size, "batch_size_g": None}
    values |= {key.removeprefix("retrain."): value for key, value in given.items() if key.startswith("retrain.")}
    if base.width or narrow:  # as wide as the search
        values |= dict.fromkeys(("channels_g", "channels_d", "latent_dim"))
    if narrow:
        values |= {"batch_size": NARROW_BATCH, "batch_size_g": None}
    if still:
        values |= {"lr_g": STILL, "lr_d": STILL}
    return RetrainConfig.parse(values, f"configuration of {base.study}", ConfigError)


def _data(base: _Base) -> ImageData:
    """The embedded digits, or random images: what they show changes no time."""
    if base.study == "digits" and base.width is None:
        return load_data(DataConfig())
    channels = 1 if base.study == "digits" else 3
    images = np.random.default_rng(0).integers(0, 256, (2048, channels, base.image_size, base.image_size), np.uint8)
    return ImageData.of("random images", images)


def _choices(space: SearchSpace, image_size: int) -> Mapping[str, str]:
    """A random network of the space, with the published generator of AdversarialNAS where that fits."""
    choices = dict(space.random(image_size, 0).choices)
    published = load_genotype("adversarialnas")
    if image_size == published.image_size and space.generator == load_space(published.space).generator:
        choices |= dict(published.generator)
    return choices
