"""The project's networks have as many parameters and MACs as the papers' descriptions say, by closed forms."""

from __future__ import annotations

import random

import pytest
import torch

from autogan_ray.nets.cost.count import genotype_cost
from autogan_ray.nets.gan import Generator
from autogan_ray.nets.shape import Shape
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.published import load_genotype, load_published
from tests.reference import counts
from tests.reference.published import AUTOGAN, autogan_choices, published_choices, published_families

CHANNELS, CHANNELS_D = 256, 128
GENES = (2, 3, 3, 2, 2, 3, 3, 2, 2, 2, 3, 3, 2, 4)
"""How many values each gene of AutoGAN has."""
BOTTOMS = {32: 4, 48: 6}


def parameters_of(space: str, choices: dict[str, str], size: int, latent: int) -> int:
    genotype = load_space(space).genotype(choices, size)
    with torch.device("meta"):
        network = Generator(load_space(space), Shape(size, 3, CHANNELS, 128, latent), genotype.choices)
    return sum(one.numel() for one in network.parameters())


def counted(family: str, genes: tuple[int, ...], choices: dict[str, str], size: int, latent: int) -> counts.Count:
    """A generator by the closed form of its family."""
    bottom = BOTTOMS[size]
    match family:
        case "autogan G":
            return counts.autogan(genes, CHANNELS, latent, bottom)
        case "alphagan G":
            return counts.alphagan(choices, CHANNELS, latent, bottom)
        case "adversarialnas G":
            return counts.adversarialnas(choices, CHANNELS, latent, bottom, parts=2 if size == 48 else 3)
    assert family == "eagan G"
    return counts.adversarialnas(choices, CHANNELS, latent, bottom, parts=3)


@pytest.mark.parametrize("seed", range(20))
def test_genes_of_autogan_have_the_closed_forms_number_of_parameters(seed: int) -> None:
    rng = random.Random(8000 + seed)
    genes, size = tuple(rng.randrange(n) for n in GENES), (32, 48)[seed % 2]
    found = parameters_of("autogan", autogan_choices(genes), size, 128)
    assert found == counted("autogan G", genes, {}, size, 128).params


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    ("space", "family", "latent"),
    [
        ("adversarialnas/fixed", "adversarialnas G", 120),
        ("eagan/fixed", "eagan G", 120),
        ("alphagan", "alphagan G", 128),
    ],
)
def test_cells_have_the_closed_forms_number_of_parameters(space: str, family: str, latent: int, seed: int) -> None:
    size = (32, 48)[seed % 2]
    choices = dict(load_space(space).random(size, 8000 + seed).choices)
    assert parameters_of(space, choices, size, latent) == counted(family, (), choices, size, latent).params


@pytest.mark.parametrize("size", [32, 48])
@pytest.mark.parametrize("name", published_choices())
def test_published_networks_have_the_closed_forms_parameters_and_macs(name: str, size: int) -> None:
    about, choices = load_published(name).about, published_choices()[name]
    assert (about.channels_g, about.channels_d) == (CHANNELS, CHANNELS_D)
    genotype = load_genotype(name)
    space = load_space(genotype.space)
    found = genotype_cost(space, Shape(size, 3, CHANNELS, CHANNELS_D, about.latent_dim), space.resized(genotype, size))
    family_g, family_d = published_families()[name]
    g = counted(family_g, AUTOGAN.get(name, ()), choices, size, about.latent_dim)
    d = counts.eagan_d(choices, CHANNELS_D, size) if family_d == "eagan D" else counts.fixed_d(CHANNELS_D, size)
    assert found == {"params_g": g.params, "macs_g": g.macs, "params_d": d.params, "macs_d": d.macs}


def test_the_closed_forms_give_the_published_sizes() -> None:
    choices = published_choices()
    assert counts.autogan(AUTOGAN["autogan-a"], CHANNELS, 128, 4) == counts.Count(4_405_251, 1_765_015_552)
    assert counts.adversarialnas(choices["adversarialnas"], CHANNELS, 120, 4, 3).params == 8_846_851
    assert counts.adversarialnas(choices["eagan-g"], CHANNELS, 120, 6, 3).params == 11_550_723
    assert counts.alphagan(choices["alphagan-s"], CHANNELS, 128, 4).params == 2_952_707


def test_autogan_has_as_many_genotypes_as_the_paper_says() -> None:
    assert load_space("autogan").size(32) == 36 * 72 * 144
