"""The extent of a space against brute force: all genotypes of tiny spaces, many random ones of the shipped."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from autogan_ray.nets.cost.count import genotype_cost
from autogan_ray.nets.cost.range import Range, cost_range
from autogan_ray.nets.shape import Shape
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.space import SearchSpace

FIXED_D = '\n[discriminator]\nkind = "autogan_fixed"\n'

# n1 is needed and may be idle; an operation that costs nothing; z in parts; skips that are added in the fixed way.
IDLE_NODES = (
    """
[generator]
kind = "dag"
norm = "batch"
latent_parts = "cells"
[generator.choices]
up = ["deconv_3x3_depthwise"]
some = ["none", "conv_3x3", "skip"]
[generator.cell]
nodes = ["n0", "n1", "n2"]
output = "n2"
required = ["n1"]
skip_in = "n2"
edges = [
    { name = "u0", from = "in", to = "n0", choices = "up" },
    { name = "a", from = "n0", to = "n1", choices = "some" },
    { name = "b", from = "n1", to = "n2", choices = "some" },
    { name = "c", from = "n0", to = "n2", choices = "some" },
]
"""
    + FIXED_D
)

# Searched skips, a skip output that may be dead, and an operation with batch norms of its own.
SEARCHED_SKIPS = (
    """
[generator]
kind = "dag"
[generator.choices]
up = ["bilinear", "deconv_2x2"]
some = ["none", "sep_conv_3x3"]
[generator.cell]
nodes = ["n0", "side", "out"]
output = "out"
skip_out = "side"
skip_in = "out"
skip_choices = "up"
edges = [
    { name = "u0", from = "in", to = "n0", choices = "up" },
    { name = "s0", from = "n0", to = "side", choices = "some" },
    { name = "o0", from = "n0", to = "out", choices = "some" },
    { name = "o1", from = "side", to = "out", choices = "some" },
]
"""
    + FIXED_D
)

# The first cell has other edges; in later ones every node but the output may be dead or idle.
D_CELLS = """
[generator]
kind = "autogan_block"
conv = ["pre"]
norm = ["batch"]
up = ["nearest"]
shortcut = ["no"]
skip = ["no"]
[discriminator]
kind = "dag"
norm = "spectral"
[discriminator.choices]
first = ["conv_3x3", "conv_1x1"]
some = ["none", "conv_3x3"]
down = ["avg_pool", "down_conv_3x3"]
[discriminator.cell]
nodes = ["a", "b", "out"]
output = "out"
edges = [
    { name = "e0", from = "in", to = "a", choices = "some" },
    { name = "e1", from = "in", to = "b", choices = "some" },
    { name = "e2", from = "a", to = "b", choices = "some" },
    { name = "d0", from = "b", to = "out", choices = "down" },
]
[discriminator.first_cell]
e0 = { choices = "first", activation = false }
e1 = { choices = "first" }
"""

# A fixed first block, a cell that halves and one that keeps the side, where an edge passes its node on.
D_BLOCK = """
[generator]
kind = "autogan_block"
conv = ["post"]
norm = ["none"]
up = ["bilinear"]
shortcut = ["yes"]
skip = ["yes"]
[discriminator]
kind = "dag"
norm = "spectral"
first_block = "autogan"
cells = 3
halvings = 2
[discriminator.choices]
some = ["none", "dil_conv_3x3"]
down = ["max_pool", "down_conv_5x5"]
[discriminator.cell]
nodes = ["a", "b", "out"]
output = "out"
edges = [
    { name = "e0", from = "in", to = "a", choices = "some" },
    { name = "e1", from = "a", to = "b", choices = "some" },
    { name = "e2", from = "in", to = "b", choices = "some", activation = false },
    { name = "d0", from = "a", to = "out", choices = "down" },
    { name = "d1", from = "b", to = "out", choices = "down" },
]
"""

BLOCKS = (
    """
[generator]
kind = "autogan_block"
conv = ["post", "pre"]
norm = ["none", "batch"]
up = ["nearest", "deconv"]
shortcut = ["yes"]
skip = ["yes", "no"]
"""
    + FIXED_D
)

WHOLE = """
[generator]
kind = "whole"
networks = ["dcgan", "biggan"]
[discriminator]
kind = "whole"
networks = ["dcgan"]
"""

TINY = {
    "idle nodes": IDLE_NODES,
    "searched skips": SEARCHED_SKIPS,
    "cells of D": D_CELLS,
    "a first block": D_BLOCK,
    "blocks": BLOCKS,
    "whole networks": WHOLE,
}
SHIPPED = ("adversarialnas", "alphagan/eagan", "autogan/fixed")
"""Every shipped part stands in one of them, but the whole networks, which are tried above."""


def genotypes(space: SearchSpace, image_size: int) -> Iterator[Genotype]:
    """All connected ones."""
    decisions = space.decisions(image_size)
    for pick in itertools.product(*(decision.choices for decision in decisions)):
        choices = dict(zip((decision.name for decision in decisions), pick, strict=True))
        if not space.dead_ends(choices, image_size):
            yield space.genotype(choices, image_size)


def assert_attained(space: SearchSpace, shape: Shape, found: dict[str, Range]) -> None:
    """Every extreme is a connected genotype that costs what is said."""
    whole = space.random(shape.image_size, 0).choices
    for key, one in found.items():
        assert one.smallest.value <= one.largest.value
        for extreme in (one.smallest, one.largest):
            genotype = space.genotype(whole | extreme.choices, shape.image_size)
            space.check(genotype)
            assert genotype_cost(space, shape, genotype)[key] == extreme.value, key


def tiny(folder: Path, text: str) -> SearchSpace:
    file = folder / "tiny.toml"
    file.write_text("schema = 1\n" + text)
    return load_space(file)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", TINY)
def test_the_range_and_the_count_are_those_of_all_genotypes_of_a_tiny_space(tmp_path: Path, name: str) -> None:
    space = tiny(tmp_path, TINY[name])
    shape = Shape(8, 1, channels_g=6, channels_d=5, latent_dim=8)
    found = cost_range(space, shape)
    every = list(genotypes(space, 8))
    assert space.connected_size(8) == len(every)
    costs = [genotype_cost(space, shape, genotype) for genotype in every]
    for key, one in found.items():
        assert one.smallest.value == min(cost[key] for cost in costs), key
        assert one.largest.value == max(cost[key] for cost in costs), key
    assert_attained(space, shape, found)


def assert_random_ones_lie_inside(name: str, image_size: int, count: int) -> None:
    space = load_space(name)
    shape = Shape(image_size, 3, channels_g=16, channels_d=8, latent_dim=12)
    found = cost_range(space, shape)
    assert_attained(space, shape, found)
    for seed in range(count):
        for key, value in genotype_cost(space, shape, space.random(image_size, seed)).items():
            assert found[key].smallest.value <= value <= found[key].largest.value, (key, seed)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", SHIPPED)
def test_random_genotypes_of_a_shipped_space_lie_inside_its_range_and_its_ends_are_attained(name: str) -> None:
    assert_random_ones_lie_inside(name, 48, 10)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", SHIPPED)
def test_random_genotypes_of_a_shipped_space_lie_inside_its_range(name: str) -> None:
    assert_random_ones_lie_inside(name, 32, 20)


@pytest.mark.parametrize("size", [8, 32, 64])
def test_the_share_of_connected_genotypes_is_the_share_among_random_choices(size: int) -> None:
    space, rng = load_space("adversarialnas/eagan"), random.Random(size)
    decisions = space.decisions(size)
    drawn = [{d.name: rng.choice(d.choices) for d in decisions} for _ in range(2000)]
    share = sum(not space.dead_ends(choices, size) for choices in drawn) / len(drawn)
    assert space.connected_size(size) / space.size(size) == pytest.approx(share, abs=0.05)


def test_a_space_without_none_is_connected_throughout() -> None:
    for name in ("autogan", "alphagan", "handmade"):
        assert load_space(name).connected_size(32) == load_space(name).size(32)


def test_the_range_at_the_published_width_holds_the_published_networks() -> None:
    found = cost_range(load_space("adversarialnas/fixed"), Shape(32, 3, 256, 128, 120))
    assert found["params_g"].smallest.value < 8_846_851 < found["params_g"].largest.value
    assert found["params_d"].smallest.value == found["params_d"].largest.value == 1_053_824
    assert found["params_d"].smallest.choices == {}
