"""The project's networks, in plain and fast form, equal an independent reading of the papers, in double precision.

Outputs, and the gradients of all weights and of the input.
"""

from __future__ import annotations

import pytest
import torch

import autogan_ray as ag
from autogan_ray.nets.derived import inherit
from autogan_ray.nets.relaxation import SingleChoice
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.space import SearchSpace
from tests.reference.common import Network
from tests.reference.harness import (
    FAMILIES,
    OUTPUT_TOLERANCE,
    SEARCHED,
    Case,
    Distance,
    build,
    cells_of,
    distance,
    outputs,
    random_vectors,
    space_of,
    unread,
)
from tests.reference.published import published_choices, published_families

pytestmark = pytest.mark.timeout(60)
FIRST_SEED = 7000
CHUNK = 25
COUNTS = {"autogan G": 300}
DERIVED = [(family, chunk) for family in SEARCHED for chunk in range(COUNTS.get(family, 100) // CHUNK)]


def part_of(family: str, choices: dict[str, str]) -> dict[str, str]:
    return {name: choice for name, choice in choices.items() if name[0] == FAMILIES[family].part}


def derived_distance(
    family: str, size: int, seed: int, choices: dict[str, str], space: SearchSpace | None = None
) -> Distance:
    case = build(family, size, seed, choices, space)
    ours, net = case.reference(part_of(family, choices))
    assert not unread(case, net)
    return distance(case, outputs(case, {}), ours, {})


@pytest.mark.parametrize(("family", "chunk"), DERIVED)
def test_a_derived_network_equals_the_reference(family: str, chunk: int) -> None:
    for seed in range(FIRST_SEED + chunk * CHUNK, FIRST_SEED + (chunk + 1) * CHUNK):
        size = (32, 48)[seed % 2]
        derived_distance(family, size, seed, dict(space_of(family).random(size, seed).choices)).check()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_derived_network_of_8_pixels_in_grey_equals_the_reference(family: str) -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + 10):
        derived_distance(family, 8, seed, dict(space_of(family).random(8, seed).choices)).check()


@pytest.mark.parametrize("size", [32, 48])
def test_the_fixed_discriminator_equals_the_reference(size: int) -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + 10):
        derived_distance("autogan D", size, seed, {}).check()


@pytest.mark.parametrize("size", [32, 48])
@pytest.mark.parametrize("name", published_choices())
def test_a_published_genotype_is_that_of_the_paper_and_its_networks_equal_the_reference(name: str, size: int) -> None:
    choices = published_choices()[name]
    genotype = ag.load_genotype(name)
    assert dict(genotype.choices) == choices
    for family in published_families()[name]:
        derived_distance(family, size, FIRST_SEED, part_of(family, choices), load_space(genotype.space)).check()


@pytest.mark.parametrize("size", [32, 48, 8])
@pytest.mark.parametrize("family", SEARCHED)
def test_a_supernet_equals_the_reference_for_any_weights_of_its_choices(family: str, size: int) -> None:
    case = build(family, size, FIRST_SEED + size, None)
    for _ in range(4):
        vectors = random_vectors(case)
        ours, net = case.reference(vectors)
        assert not unread(case, net)
        distance(case, outputs(case, vectors), ours, vectors).check()


def scaled_path(
    case: Case, seed: int
) -> tuple[dict[str, SingleChoice], dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """One choice for each decision, with its straight-through scale: for the project, and as vectors for the reference.

    The scale is 1, as a drawn path has it; what differs from decision to decision is its gradient.
    """
    scales = {name: torch.ones_like(vector[0]).requires_grad_() for name, vector in random_vectors(case).items()}
    chosen = space_of(case.family).random(case.size, seed).choices
    path, vectors = {}, {}
    for decision in (
        *space_of(case.family).decisions(case.size, "g"),
        *space_of(case.family).decisions(case.size, "d"),
    ):
        if decision.name in scales:
            index = decision.choices.index(chosen[decision.name])
            path[decision.name] = SingleChoice(index, scales[decision.name])
            vectors[decision.name] = torch.eye(len(decision.choices)).double()[index] * scales[decision.name]
    return path, vectors, scales


@pytest.mark.parametrize("size", [32, 48])
@pytest.mark.parametrize("family", SEARCHED)
def test_a_supernet_on_one_path_equals_the_reference_that_runs_every_choice(family: str, size: int) -> None:
    case = build(family, size, FIRST_SEED + size, None)
    for seed in range(2):
        path, vectors, scales = scaled_path(case, seed)
        ours, _ = case.reference(vectors)
        distance(case, outputs(case, path), ours, scales).check()
        plain = {name: SingleChoice(one.index) for name, one in path.items()}
        ours, _ = case.reference({name: (vector > 0).double() for name, vector in vectors.items()})
        distance(case, outputs(case, plain), ours, {}).check()


@pytest.mark.parametrize("family", SEARCHED)
def test_a_derived_network_with_inherited_weights_equals_the_reference_on_the_supernets(family: str) -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + 4):
        size = (32, 48)[seed % 2]
        supernet = build(family, size, seed, None)
        choices = dict(space_of(family).random(size, seed).choices)
        derived = build(family, size, seed, choices)
        inherit(derived.network, supernet.network.state_dict())
        # Batch norms of alphaGAN's cells have no weights in the search: one and zero are what they inherit.
        tensors = dict(supernet.network.state_dict())
        for name, value in derived.network.named_parameters():
            tensors.setdefault(name, torch.full_like(value, float(name.endswith("weight"))))
        mine = part_of(family, choices)
        net = Network(tensors, mine)
        ours = FAMILIES[family].forward(net, derived.example, size, cells_of(mine, FAMILIES[family].part))
        for theirs in outputs(derived, {}):
            assert (theirs - ours.reshape(theirs.shape)).abs().max() <= OUTPUT_TOLERANCE


@pytest.mark.parametrize("kind", ["derived", "supernet"])
@pytest.mark.parametrize("family", [name for name in SEARCHED if name[-1] == "G"])
def test_batch_statistics_and_the_running_ones_after_them_equal_the_reference(family: str, kind: str) -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + (6 if kind == "derived" else 2)):
        size = (32, 48)[seed % 2]
        choices = dict(space_of(family).random(size, seed).choices) if kind == "derived" else None
        case = build(family, size, seed, choices)
        case.network.train()
        vectors = {} if choices else random_vectors(case)
        ours, net = case.reference(part_of(family, choices) if choices else vectors)
        distance(case, outputs(case, vectors), ours, vectors).check()
        buffers = dict(case.network.named_buffers())
        assert set(net.running) == {name for name in buffers if "running" in name}
        for name, value in net.running.items():
            assert torch.allclose(buffers[name], value, rtol=0, atol=OUTPUT_TOLERANCE), name


@pytest.mark.parametrize("family", ["autogan D", "adversarialnas D", "eagan D"])
def test_a_training_pass_of_a_discriminator_uses_the_vectors_that_it_leaves_behind(family: str) -> None:
    choices = dict(space_of(family).random(32, FIRST_SEED).choices)
    case = build(family, 32, FIRST_SEED, choices)
    case.network.train()
    before = {name: value.clone() for name, value in case.network.named_buffers()}
    theirs = outputs(case, {})
    weights, buffers = dict(case.network.named_parameters()), dict(case.network.named_buffers())
    for name, weight in weights.items():
        if name.endswith("original"):  # one power iteration, u first
            layer, matrix = name.removesuffix("original"), weight.detach().flatten(1)
            u = matrix @ before[f"{layer}0._v"]
            v = matrix.T @ (u / u.norm())
            assert torch.allclose(buffers[f"{layer}0._u"], u / u.norm(), atol=1e-10)
            assert torch.allclose(buffers[f"{layer}0._v"], v / v.norm(), atol=1e-10)
    ours, _ = case.reference(part_of(family, choices))
    distance(case, theirs, ours, {}).check()
