"""What a study will need, decided and checked before Ray starts: spaces, data, weights, resources, folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autogan_ray.base.errors import ConfigError
from autogan_ray.config import remedies
from autogan_ray.config.study import StudyConfig
from autogan_ray.metrics.extractors.registry import extractor_named
from autogan_ray.search.methods.reinforce_parts.levels import plan_levels
from autogan_ray.spaces.space import SearchSpace, load_space
from autogan_ray.training import sources


@dataclass(frozen=True)
class Plan:
    """A study with all names resolved.

    Args:
        spaces: name -> space, every one the sweep can propose.
        gpus: whole GPUs to use; 0 works on the CPU.
        slots: trials side by side.
        missing: sentences on what is not there yet.
    """

    study: StudyConfig
    spaces: Mapping[str, SearchSpace]
    folder: Path
    gpus: int
    slots: int
    missing: tuple[str, ...]


def default_study(gpus: int) -> str:
    """The shipped study that suits a machine."""
    return "cifar10" if gpus >= 1 else "digits"


def with_resources(study: StudyConfig, gpus: int, gpus_per_trial: float | None) -> StudyConfig:
    """The study with its trials' share of GPUs: what was asked for, else the study's, else one each."""
    share = 0.0 if gpus == 0 else gpus_per_trial or study.tune.gpus_per_trial or 1.0
    if gpus == 0 and gpus_per_trial:
        raise ConfigError(f"--gpus-per-trial {gpus_per_trial} without GPUs; give --gpus N as well")
    if share > gpus:
        raise ConfigError(f"--gpus-per-trial {share:g} is more than --gpus {gpus}; a trial would never start")
    values = study.to_dict()
    values["tune"]["gpus_per_trial"] = share
    return StudyConfig.parse(values, "resources", ConfigError)


def make_plan(study: StudyConfig, folder: Path, gpus: int, cpus: int | None = None) -> Plan:
    """Raises SpaceError, ConfigError, DataError or MetricError for what cannot be right on any machine."""
    spaces = {name: load_space(name) for name in proposable_spaces(study)}
    # The data's own size is not known yet; with more pixels there are no fewer decisions.
    remedies.check_spaces(study, spaces, study.data.image_size or 32)
    root = Path(study.data.root) if study.data.root else None
    lacking = [
        sources.missing(study.data.source, root),
        extractor_named(study.metrics.extractor).missing(study.metrics),
        gpu_shortage(gpus),
    ]
    slots = slots_of(study, gpus, cpus or os.cpu_count() or 1)
    return Plan(study, spaces, folder, gpus, slots, tuple(line for line in lacking if line))


def proposable_spaces(study: StudyConfig) -> list[str]:
    """Names of all spaces a trial of the study may have."""
    swept = study.sweep.get("space")
    return [str(name) for name in swept.choice or ()] if swept else [study.space]


def slots_of(study: StudyConfig, gpus: int, cpus: int) -> int:
    """How many trials fit side by side: as many as the GPUs hold, or without GPUs the processors."""
    tune = study.tune
    if tune.gpus_per_trial:
        fit = int(gpus / tune.gpus_per_trial + 1e-9)
    else:
        fit = int(cpus / tune.cpus_per_trial + 1e-9)
    return max(1, min(fit, tune.max_concurrent or tune.num_trials, tune.num_trials))


def gpu_shortage(gpus: int) -> str | None:
    """Both numbers, where more GPUs are asked for than this machine has."""
    if gpus == 0:
        return None
    import torch

    there = torch.cuda.device_count()
    return None if gpus <= there else f"GPUs: {gpus} asked for by --gpus, {there} on this machine"


def driver_device(gpus: int) -> str:
    """Where the driver extracts the features of the real images: on a GPU where a study uses GPUs and one is here.

    On a processor Inception does about two images a second: hours for 50,000.
    """
    if gpus == 0:
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def image_form(study: StudyConfig) -> tuple[int, int] | None:
    """(side in pixels, channels) of a study's images; None where they are not here yet. Raises DataError."""
    data = study.data
    return sources.form(data.source, data.image_size, data.channels, Path(data.root) if data.root else None)


def check_sizes(plan: Plan, image_size: int) -> None:
    """Hold every space to the images' side in pixels, which is known once they are loaded; needs no torch.

    Raises SpaceError or ConfigError.
    """
    remedies.check_spaces(plan.study, plan.spaces, image_size)
    for space in plan.spaces.values():
        space.decisions(image_size)
        for latent_dim in _latent_dims(plan.study):
            space.check_latent_dim(latent_dim, image_size)
        plan_levels(space, image_size, plan.study.search.levels, phases=plan.study.search.levels or 1)


def check_networks(plan: Plan, image_size: int, image_channels: int) -> None:
    """Build every space's networks once, without memory, so that what cannot be built is known before a trial.

    Raises SpaceError or ConfigError.
    """
    import torch

    from autogan_ray.nets.gan import Discriminator, Generator, Shape

    model = plan.study.model
    for space in plan.spaces.values():
        for latent_dim in _latent_dims(plan.study):
            shape = Shape(image_size, image_channels, 1, 1, latent_dim, model.norm_g, model.head_d)
            with torch.device("meta"):
                Generator(space, shape, None)
                Discriminator(space, shape, None)


def _latent_dims(study: StudyConfig) -> tuple[int, ...]:
    """The ends of what a trial can have."""
    swept = study.sweep.get("model.latent_dim")
    return tuple(int(length) for length in swept.ends()) if swept else (study.model.latent_dim,)
