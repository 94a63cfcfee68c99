"""Derived networks: built from a genotype alone, with weights of their own or inherited from a supernet."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from autogan_ray.base.errors import ConfigError, GenotypeError, NotFoundError
from autogan_ray.nets.gan import Discriminator, Generator
from autogan_ray.nets.shape import Shape
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.spaces.load import space_of
from autogan_ray.spaces.space import SearchSpace


def build_generator(
    genotype: Genotype,
    channels: int = 256,
    latent_dim: int = 128,
    image_size: int | None = None,
    image_channels: int = 3,
    *,
    space: SearchSpace | None = None,
    norm: str | None = None,
    classes: int = 0,
) -> Generator:
    """A fresh generator, in the plain form: z [B, latent_dim] -> images [B, image_channels, H, W] in [-1, 1].

    Args:
        channels: width of all cells.
        image_size: side in pixels; None takes the genotype's. Another size is refused unless the networks have as many
            cells there (32 and 48 px have).
        space: None takes the shipped space that the genotype names.
        norm: normalisation in DAG cells, ``none`` or ``batch``; None takes the space's.
        classes: for a class-conditional network (``biggan``): how many; z then has so many more columns, one-hot, and
            ``generator.latents.draw`` makes such z.

    Raises:
        GenotypeError: the genotype does not fit its space or the image size.
        ConfigError: latent_dim does not divide into the space's latent parts; a number below 1; classes for a network
            that takes none.
    """
    genotype, space, shares = _checked(genotype, space, image_size, classes)
    shape = Shape(genotype.image_size, image_channels, channels, channels, latent_dim, norm, class_shares=shares)
    return Generator(space, shape, genotype.choices)


def build_discriminator(
    genotype: Genotype,
    channels: int = 128,
    image_size: int | None = None,
    image_channels: int = 3,
    *,
    space: SearchSpace | None = None,
    head: str = "sum",
    classes: int = 0,
) -> Discriminator:
    """A fresh discriminator, in the plain form: images [B, image_channels, H, W] -> scores [B].

    Args:
        head: ``sum`` (published) or ``flatten``.
        classes: for a class-conditional network: how many; ``forward(images, classes=one_hot)`` then wants each
            image's class [B, classes].

    Raises GenotypeError or ConfigError as :func:`build_generator` does.
    """
    genotype, space, shares = _checked(genotype, space, image_size, classes)
    shape = Shape(genotype.image_size, image_channels, channels, channels, head_d=head, class_shares=shares)
    return Discriminator(space, shape, genotype.choices)


def _checked(
    genotype: Genotype, space: SearchSpace | None, image_size: int | None, classes: int
) -> tuple[Genotype, SearchSpace, tuple[float, ...]]:
    """Returns the genotype at the image size, its space, and the share of each class, all of them equal."""
    if not isinstance(genotype, Genotype):
        raise GenotypeError(f"a Genotype is wanted, not {genotype!r}; autogan_ray.load_genotype makes one of a name")
    if space is None:
        try:
            space = space_of(genotype)
        except NotFoundError as error:
            raise NotFoundError(f"{error}; of a space of your own, give space=load_space(PATH)") from error
    genotype = space.resized(genotype, image_size or genotype.image_size)
    if classes and not space.takes_classes(genotype.choices):
        raise ConfigError(
            f"classes = {classes}: the networks of this genotype of space {space.name!r} are not class-conditional; "
            "leave classes out, or take the genotype 'biggan'"
        )
    return genotype, space, (1 / classes,) * classes if classes else ()


def inherit(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copies a supernet's state into a derived network, which has part of its names.

    Only the weights of batch norms may be absent from the supernet's, where they are 1 and 0 (see ``OpSpec.affine``).
    """
    plain: dict[str, Tensor] = {}
    for lead, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d) and module.affine:
            plain[f"{lead}.weight"] = torch.ones_like(module.weight)
            plain[f"{lead}.bias"] = torch.zeros_like(module.bias)
    network.load_state_dict({name: weights[name] if name in weights else plain[name] for name in network.state_dict()})


def reestimate_batch_norm(network: nn.Module, run_batch: Callable[[int], object], batches: int) -> None:
    """Replaces all batch-norm running statistics by plain means over ``batches`` training-mode forward passes.

    Inherited weights bring statistics of the supernet's mixture, which are wrong for any single path. Leaves every
    module's mode as it was.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    modes = [(module, module.training) for module in network.modules()]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean
        norm.train()
    with torch.no_grad():
        for index in range(batches):
            run_batch(index)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for module, mode in modes:
        module.training = mode
