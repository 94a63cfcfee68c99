"""What a study needs, resolved and checked before Ray starts: spaces, data set, weights, resources, folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from autogan_ray.base.errors import ConfigError
from autogan_ray.base.machine import usable_cpus
from autogan_ray.config.penalty import PENALTY_READS, check_penalty
from autogan_ray.config.remedies import SPACE_READS, check_space
from autogan_ray.config.rules import Rule
from autogan_ray.config.sections import TrialSections
from autogan_ray.config.study import StudyConfig, check_proposals
from autogan_ray.config.tracking import missing_tracker
from autogan_ray.metrics.extractors import registry
from autogan_ray.metrics.extractors.registry import extractor_named
from autogan_ray.search.methods.reinforce_parts.levels import plan_levels
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.space import SearchSpace
from autogan_ray.training.data import check_counts
from autogan_ray.training.images import sources


@dataclass(frozen=True)
class Plan:
    """A study with all of its names resolved.

    Args:
        spaces: name -> space, for every space that a trial may have.
        folder: where the study's results go.
        gpus: number of whole GPUs to use; 0 runs on the CPU.
        slots: number of trials side by side.
        missing: a sentence on each thing that is not there yet.
    """

    study: StudyConfig
    spaces: Mapping[str, SearchSpace]
    folder: Path
    gpus: int
    slots: int
    missing: tuple[str, ...]


def default_study(gpus: int) -> str:
    """Returns the name of the shipped study that suits a machine with so many GPUs."""
    return "cifar10" if gpus >= 1 else "digits"


def with_resources(study: StudyConfig, gpus: int, gpus_per_trial: float | None) -> StudyConfig:
    """Returns the study with the GPUs of each trial set: to the given number, else the study's own, else one.

    Args:
        gpus: number of whole GPUs for all trials together.
        gpus_per_trial: may be a part of one GPU; None takes the study's own.

    Raises:
        ConfigError: a trial would never start.
    """
    share = 0.0 if gpus == 0 else gpus_per_trial or study.tune.gpus_per_trial or 1.0
    if gpus == 0 and gpus_per_trial:
        raise ConfigError(f"--gpus-per-trial {gpus_per_trial} without GPUs; give --gpus N as well")
    if share > gpus:
        raise ConfigError(f"--gpus-per-trial {share:g} is more than --gpus {gpus}; a trial would never start")
    values = study.model_dump(mode="json", by_alias=True, exclude_unset=True)  # so that it is known what was set
    values.setdefault("tune", {})["gpus_per_trial"] = share
    return StudyConfig.parse(values, "resources", ConfigError)


def make_plan(study: StudyConfig, folder: Path, gpus: int, cpus: int | None = None) -> Plan:
    """Resolves a study's names and checks all that can be checked without its data set.

    Args:
        cpus: processors for trials; None takes those that this process may use.

    Raises:
        NotFoundError, SpaceError: a space does not exist or cannot be built.
        ConfigError, DataError, MetricError: a setting is right on no machine.
    """
    sources.check_settings(study.data)
    registry.check_settings(study.metrics)
    spaces = {name: load_space(name) for name in proposable_spaces(study)}
    _check_names(spaces)
    if study.data.image_size is not None:  # else check_sizes asks, once the images are known
        check_proposals(study, [_remedies_fit_the_space(spaces, study.data.image_size)])
    lacking = [
        sources.missing(study.data),
        extractor_named(study.metrics.extractor).missing(study.metrics),
        gpu_shortage(gpus),
        missing_tracker(study.tracking),
    ]
    slots = slots_of(study, gpus, cpus or usable_cpus())
    return Plan(study, spaces, folder, gpus, slots, tuple(line for line in lacking if line))


def _check_names(spaces: Mapping[str, SearchSpace]) -> None:
    """Raises ConfigError where two spaces of a study have one name, by which its genotypes would know both."""
    asked: dict[str, str] = {}
    for text, space in spaces.items():
        if space.name in asked:
            raise ConfigError(
                f"space: {asked[space.name]!r} and {text!r} are both called {space.name!r}, and genotypes name their "
                "space; give one of the files another name"
            )
        asked[space.name] = text


def unread(study: StudyConfig) -> list[str]:
    """Returns the dotted names of the settings that the study's data source and extractor do not read.

    Raises DataError or MetricError for an unknown source or extractor.
    """
    data, metrics = sources.unread(study.data), registry.unread(study.metrics)
    return [*(f"data.{name}" for name in data), *(f"metrics.{name}" for name in metrics)]


def proposable_spaces(study: StudyConfig) -> list[str]:
    """Returns the names of all spaces that a trial of the study may have."""
    return [str(name) for name in study.possible("space")]


def slots_of(study: StudyConfig, gpus: int, cpus: int) -> int:
    """Returns how many trials run side by side: as many as fit on the GPUs, or on the processors without GPUs."""
    tune = study.tune
    if tune.gpus_per_trial:
        fit = int(gpus / tune.gpus_per_trial + 1e-9)
    else:
        fit = int(cpus / tune.cpus_per_trial + 1e-9)
    return max(1, min(fit, tune.max_concurrent or tune.num_trials, tune.num_trials))


def gpu_shortage(gpus: int) -> str | None:
    """Returns a sentence with both numbers if ``--gpus`` is more than this machine has, else None."""
    if gpus == 0:
        return None
    import torch

    present = torch.cuda.device_count()
    return None if gpus <= present else f"GPUs: {gpus} asked for by --gpus, {present} on this machine"


def driver_device(gpus: int) -> str:
    """Returns the device on which the driver extracts the features of the real images.

    It is a GPU if the study uses GPUs and this machine has any: on a processor Inception does about two images a
    second, which takes hours for 50,000.
    """
    if gpus == 0:
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def look_at_data(study: StudyConfig) -> sources.Glance | None:
    """Looks at some of a study's images, and at all labels; returns None if the data set is not here yet.

    Raises:
        DataError: the data set cannot be read, or has too few images.
        MetricError: the extractor cannot serve such data.
    """
    seen = sources.glance(study.data)
    if seen is not None:
        check_counts(study.data.source, seen.count, study.metrics, max(study.possible("search.batch_size")))
        extractor_named(study.metrics.extractor).check(study.metrics, seen.classes)
    return seen


def check_sizes(plan: Plan, image_size: int) -> None:
    """Checks every space against the side of the images, which is known once they are loaded; needs no torch.

    Args:
        image_size: side of the images in pixels.

    Raises:
        SpaceError: a space cannot be built at this size.
        ConfigError: a setting of a trial does not fit its space at this size.
    """
    for space in plan.spaces.values():
        space.decisions(image_size)

    def latent_parts(trial: TrialSections) -> None:
        plan.spaces[trial.space].check_latent_dim(trial.model.latent_dim, image_size)

    def levels(trial: TrialSections) -> None:
        count = trial.search.levels
        plan_levels(plan.spaces[trial.space], image_size, count, phases=count or 1)

    def penalty(trial: TrialSections) -> None:
        space = plan.spaces[trial.space]
        choices = [choice for decision in space.decisions(image_size, "d") for choice in decision.choices]
        check_penalty(trial.search, "search", space, choices)

    check_proposals(
        plan.study,
        [
            _remedies_fit_the_space(plan.spaces, image_size),
            Rule(("space", "model.latent_dim"), latent_parts, divided=("model.latent_dim",)),
            Rule(("space", "search.levels"), levels),
            Rule(("space", *(f"search.{name}" for name in PENALTY_READS)), penalty),
        ],
    )


def _remedies_fit_the_space(spaces: Mapping[str, SearchSpace], image_size: int) -> Rule:
    return Rule(SPACE_READS, lambda trial: check_space(trial, spaces[trial.space], image_size))


def check_networks(plan: Plan, image_size: int, image_channels: int) -> None:
    """Builds the networks of every proposal once, without memory, so that mistakes are known before a trial begins.

    Raises:
        SpaceError: a space cannot be built for these images.
        ConfigError: a setting of ``[model]`` does not fit a space.
    """
    import torch

    from autogan_ray.nets.gan import Discriminator, Generator
    from autogan_ray.nets.shape import Shape

    def build(trial: TrialSections) -> None:
        space = plan.spaces[trial.space]
        shape = replace(Shape.of(trial.model, image_size, image_channels), channels_g=1, channels_d=1)
        with torch.device("meta"):
            Generator(space, shape, None)
            Discriminator(space, shape, None)

    reads = ("space", "model.latent_dim", "model.norm_g", "model.head_d")
    check_proposals(plan.study, [Rule(reads, build)])
