"""The project's generators have as many parameters as the papers' descriptions say, by closed forms."""

from __future__ import annotations

import random

import pytest
import torch

from autogan_ray.nets.gan import Generator
from autogan_ray.nets.shape import Shape
from autogan_ray.spaces.load import load_space
from tests.reference import counts
from tests.reference.published import autogan_choices, published_choices

CHANNELS = 256
GENES = (2, 3, 3, 2, 2, 3, 3, 2, 2, 2, 3, 3, 2, 4)
"""How many values each gene of AutoGAN has."""
BOTTOMS = {32: 4, 48: 6}


def parameters_of(space: str, choices: dict[str, str], size: int, latent: int) -> int:
    genotype = load_space(space).genotype(choices, size)
    with torch.device("meta"):
        network = Generator(load_space(space), Shape(size, 3, CHANNELS, 128, latent), genotype.choices)
    return sum(one.numel() for one in network.parameters())


@pytest.mark.parametrize("seed", range(20))
def test_genes_of_autogan_have_the_closed_forms_number_of_parameters(seed: int) -> None:
    rng = random.Random(8000 + seed)
    genes, size = tuple(rng.randrange(n) for n in GENES), (32, 48)[seed % 2]
    found = parameters_of("autogan", autogan_choices(genes), size, 128)
    assert found == counts.autogan(genes, CHANNELS, 128, BOTTOMS[size])


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("space", "latent"), [("adversarialnas/fixed", 120), ("alphagan", 128)])
def test_cells_have_the_closed_forms_number_of_parameters(space: str, latent: int, seed: int) -> None:
    size = (32, 48)[seed % 2]
    choices = dict(load_space(space).random(size, 8000 + seed).choices)
    form = counts.alphagan if space == "alphagan" else counts.adversarialnas
    assert parameters_of(space, choices, size, latent) == form(choices, CHANNELS, latent, BOTTOMS[size])


def test_the_closed_forms_give_the_published_sizes() -> None:
    choices = published_choices()
    assert counts.autogan((1, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 1, 0, 3), CHANNELS, 128, 4) == 4_405_251
    assert counts.adversarialnas(choices["adversarialnas"], CHANNELS, 120, 4) == 8_846_851
    assert counts.alphagan(choices["alphagan-s"], CHANNELS, 128, 4) == 2_952_707


def test_autogan_has_as_many_genotypes_as_the_paper_says() -> None:
    assert load_space("autogan").size(32) == 36 * 72 * 144
