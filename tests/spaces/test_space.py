"""Search spaces as values: round trips, sizes against the papers, and everything a file can get wrong."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autogan_ray.base import catalog
from autogan_ray.base.errors import GenotypeError, NotFoundError, SpaceError, UserError
from autogan_ray.spaces.derivation.derive import derive
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.space import SearchSpace

NAMES = [
    *("adversarialnas", "autogan", "autogan/adversarialnas", "adversarialnas/fixed", "autogan/fixed"),
    *("alphagan", "autogan/eagan", "alphagan/eagan", "eagan", "handmade", "handmade/fixed", "modern"),
]
ADVERSARIALNAS = catalog.read("space", "adversarialnas").text


@pytest.mark.parametrize("name", NAMES)
def test_a_space_survives_the_way_through_json(name: str) -> None:
    space = load_space(name)
    again = SearchSpace.from_dict(json.loads(json.dumps(space.to_dict())))
    assert again == space and again.digest == space.digest


def test_sizes_are_those_of_the_papers() -> None:
    assert load_space("autogan").size(32) == 36 * 72 * 144 == 373_248
    # G: 3 cells of 5 edges with 7 and 2 with 3 operations; D: 4 cells, of which the first reads the image by 5.
    assert load_space("adversarialnas").size(32) == 7**15 * 3**6 * 5**3 * 7**17 * 6**8
    assert load_space("autogan/adversarialnas").size(32) == 373_248 * 5**3 * 7**17 * 6**8
    assert load_space("adversarialnas/fixed").size(32) == pytest.approx(3.5e15, rel=0.02)
    assert load_space("alphagan").size(32) == 6**9 * 3**6 * 3**3
    assert load_space("alphagan").size(48) == load_space("alphagan").size(32)
    # AutoGAN's first block, then three cells of which the first halves.
    assert load_space("alphagan/eagan").size(32) == 6**9 * 3**6 * 3**3 * 7**15 * 6**2
    # Two blocks of ten choices and a resampling of three in each cell; D's first block reads the image by one of two.
    assert load_space("modern").size(32) == 10**6 * 3**3 * 2 * (2 * 10**7 * 3**4 * 2)
    assert load_space("eagan").size(48) == 7**15 * 3**6 * 7**15 * 6**2


def test_eagans_z_has_a_part_for_each_cell_where_that_of_adversarialnas_has_two() -> None:
    parts = {name: [load_space(name).latent_parts(size) for size in (32, 48)] for name in ("adversarialnas", "eagan")}
    assert parts == {"adversarialnas": [3, 2], "eagan": [3, 3]}


@pytest.mark.parametrize(("size", "at"), [(8, []), (16, ["g.cell2"]), (32, ["d.cell1", "g.cell2"]), (48, [])])
def test_an_edge_with_sides_is_decided_in_cells_whose_output_has_one_of_them(size: int, at: list[str]) -> None:
    space = load_space("modern")
    found = [decision.name for decision in space.decisions(size) if decision.name.endswith("attend")]
    assert sorted(found) == [f"{cell}.attend" for cell in at]


@pytest.mark.parametrize(("size", "cells_g", "cells_d"), [(8, 2, 2), (32, 3, 4), (48, 3, 4), (64, 4, 5)])
def test_the_number_of_cells_follows_from_the_image_size(size: int, cells_g: int, cells_d: int) -> None:
    space = load_space("adversarialnas")
    assert len(space.decisions(size, "g")) == 7 * cells_g
    assert len(space.decisions(size, "d")) == 7 * cells_d


@pytest.mark.parametrize("size", [7, 2, 1, 31, 0, 4097])
def test_an_image_size_that_no_cell_reaches_is_refused_with_the_nearest(size: int) -> None:
    with pytest.raises(SpaceError, match="the nearest usual size is"):
        load_space("autogan").decisions(size, "g")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [8, 32])
def test_random_genotypes_fit_and_survive_json(name: str, size: int) -> None:
    space = load_space(name)
    for seed in range(20):
        genotype = space.random(size, seed)
        space.check(genotype)
        again = Genotype.from_json(genotype.to_json())
        assert again == genotype and hash(again) == hash(genotype) and again.genotype_id == genotype.genotype_id


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(NAMES))
def test_every_random_set_of_probabilities_gives_a_connected_genotype(seed: int, name: str) -> None:
    space, rng = load_space(name), random.Random(seed)
    lean = rng.choice([1.0, 50.0])  # at 50, "none" leads nearly everywhere
    shares = {}
    for decision in space.decisions(32):
        weights = [rng.random() * (lean if choice == "none" else 1.0) for choice in decision.choices]
        shares[decision.name] = {c: w / sum(weights) for c, w in zip(decision.choices, weights, strict=True)}
    choices = derive(space, shares, 32)
    space.check(space.genotype(choices, 32))
    for name, row in shares.items():
        best = max(row, key=row.__getitem__)
        assert choices[name] == best or best == "none"  # a repair touches only "none"


def test_a_starved_node_gets_the_edge_that_wants_none_least() -> None:
    space = load_space("adversarialnas")
    shares = {d.name: {c: float(c == d.choices[-1]) for c in d.choices} for d in space.decisions(8)}
    shares["g.cell1.e0"] = {"none": 0.5, "skip": 0.1, "conv_3x3": 0.4}
    shares["g.cell1.e1"] = {"none": 0.9, "skip": 0.06, "conv_3x3": 0.04}
    choices = derive(space, shares, 8)
    assert (choices["g.cell1.e0"], choices["g.cell1.e1"]) == ("conv_3x3", "none")


def test_a_genotype_with_a_starved_node_is_refused() -> None:
    space = load_space("adversarialnas")
    choices = space.random(8, 0).choices | {"g.cell1.e0": "none", "g.cell1.e1": "none"}
    assert space.dead_ends(choices, 8)
    with pytest.raises(GenotypeError, match=r"node 'n2' of g\.cell1 has no input"):
        space.check(space.genotype(choices, 8))


def test_a_genotype_of_another_space_is_refused_by_name() -> None:
    with pytest.raises(GenotypeError, match=r"genotype of space 'autogan' against space 'adversarialnas'"):
        load_space("adversarialnas").check(load_space("autogan").random(32, 0))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"conv_1x1", "conv_3x3", "conv_5x5", "dil', '"conv_1x1", "conv_3x4", "conv_5x5", "dil', "did you mean 'conv_"),
        ('from = "n1", to = "n3"', 'from = "n3", to = "n2"', "cycle: "),
        ('name = "e4", from = "n2"', 'name = "e4", from = "nn2"', "from 'nn2' is unknown; did you mean 'n2'"),
        ('name = "e4", from = "n2"', 'name = "e3", from = "n2"', "edge 'e3' stands 2 times"),
        ('"n2", "n3"]\noutput', '"n2", "n3", "n4"]\noutput', "dead node 'n4': no edge leads to it"),
        ('to = "n0", choices = "up"', 'to = "n0", choices = "normal"', "another image side"),
        ('kind = "dag"\nnorm = "none"', 'kind = "dag"\nnorm = "nnoe"', "generator.norm = 'nnoe'"),
        ('kind = "dag"\nnorm = "none"', 'kind = "dga"\nnorm = "none"', "kind"),
        ("latent_parts = ", "latent_prats = ", "did you mean 'latent_parts'"),
        ('first = ["conv_1x1"', 'first = ["skip", "conv_1x1"', "'skip' .* cannot stand there"),
        ('"n2", "n3"]\noutput', '"n2", "n3", "in"]\noutput', "node 'in': that is the cell's input"),
        ('skip_modes = ["nearest", "bilinear"]', "skip_modes = []", "skip_modes"),
        ('"48" = 2', '"48" = 0', "latent_parts_at"),
        ('"48" = 2', '"big" = 2', "latent_parts_at"),
        ('name = "u0", from = "in"', 'sides = [16], name = "u0", from = "in"', "keep the image side"),
        ('name = "e0", from = "n0"', 'sides = [0], name = "e0", from = "n0"', "sides"),
        *(("[discriminator]", f"[generator.first_cell]\n{first}\n[discriminator]", message) for first, message in [
            ("\n".join(f'e{edge} = {{ choices = "up" }}' for edge in range(4)),
             "generator: first_cell: e0 = 'up' .in later cells 'normal'., e1 = .* must double .* has 4 times the side"),
            ('u0 = { choices = "normal" }\nu1 = { choices = "normal" }',
             "generator: first_cell: u0 = 'normal' .in later cells 'up'., u1 = .* must double .* has 1 times the side"),
            ('u0 = { choices = "normal" }', "another image side"),
        ]),
        ("[discriminator.first_cell]",
         '[discriminator.first_cell]\nd0 = { choices = "normal" }\nd1 = { choices = "first" }',
         "discriminator: first_cell: d0 = 'normal' .in later cells 'down'., d1 = .* must halve .* has 1 times"),
        ("schema = 1", "", "key 'schema' is missing"),
        ("schema = 1", "schema = ", "not TOML"),
        ('normal = ["none", "skip", "conv_1x1", "conv_3x3", "conv_5x5", "dil_conv_3x3", "dil_conv_5x5"]',
         'normal = ["none"]', "needs an operation besides 'none'"),
    ],
)  # fmt: skip
def test_what_a_space_file_can_get_wrong_is_said_when_it_is_read(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in ADVERSARIALNAS
    file = tmp_path / "mine.toml"
    file.write_text(ADVERSARIALNAS.replace(old, new, 1))
    with pytest.raises(SpaceError, match=message):
        load_space(file)


def test_an_edge_with_sides_keeps_the_image_side_in_the_first_cell_too(tmp_path: Path) -> None:
    text = ADVERSARIALNAS.replace('name = "e2", from = "n0"', 'sides = [8], name = "e2", from = "n0"', 1)
    (tmp_path / "mine.toml").write_text(f'{text}\n[generator.first_cell]\ne2 = {{ choices = "up" }}\n')
    with pytest.raises(SpaceError, match=r"first_cell\.e2 = 'up': sides are for edges whose operations keep"):
        load_space(tmp_path / "mine.toml")


@pytest.mark.parametrize(("sides", "fits", "amiss"), [([4], 8, 32), ([16, 8], 32, 8), ([4, 16], 32, 16)])
def test_an_edge_that_reads_the_image_is_decided_in_the_first_cell_or_the_image_size_is_refused(
    sides: list[int], fits: int, amiss: int, tmp_path: Path
) -> None:
    text = ADVERSARIALNAS.replace('name = "e1", from = "in"', f'sides = {sides}, name = "e1", from = "in"', 1)
    file = tmp_path / "mine.toml"
    file.write_text(text)
    space = load_space(file)
    assert "d.cell1.e1" in {decision.name for decision in space.decisions(fits, "d")}
    with pytest.raises(SpaceError) as refused:
        space.decisions(amiss)
    message, side = str(refused.value), amiss // 2
    assert message.startswith(f"space 'mine': discriminator: edge 'e1': sides = {sides} leave out {side} px")
    assert f"at an image size of {amiss} px" in message and message.endswith(f"add {side} to them")
    block = text.partition("[discriminator.first_cell]")[0].replace('"spectral"', '"spectral"\nfirst_block = "autogan"')
    file.write_text(block)
    assert load_space(file).decisions(amiss, "d")


def test_searched_skips_must_come_from_where_the_side_is_the_outputs(tmp_path: Path) -> None:
    text = catalog.read("space", "alphagan").text
    moved = text.replace('nodes = ["n0"', 'nodes = ["low", "n0"').replace('skip_out = "n0"', 'skip_out = "low"')
    moved = moved.replace("edges = [", 'edges = [\n{ name = "z", from = "in", to = "low", choices = "normal" },', 1)
    moved = moved.replace('name = "u0", from = "in"', 'name = "u0", from = "low"')
    (tmp_path / "mine.toml").write_text(moved)
    with pytest.raises(SpaceError, match="skip_out = 'low' has another image side than the output"):
        load_space(tmp_path / "mine.toml")


def test_a_users_own_file_is_a_space_and_combines(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(ADVERSARIALNAS)
    assert load_space(file).digest == load_space("adversarialnas").digest
    assert load_space(f"autogan/{file}").size(32) == load_space("autogan/adversarialnas").size(32)


@pytest.mark.parametrize("name", ["adversarialnass", "autogan/adversarialnass", "autogn/fixed"])
def test_an_unknown_space_is_refused_with_the_nearest_name(name: str) -> None:
    with pytest.raises(NotFoundError, match="did you mean"):
        load_space(name)


def test_a_space_without_a_generator_says_how_to_use_it() -> None:
    with pytest.raises(SpaceError, match="'autogan/fixed'"):
        load_space("fixed")


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "x"}', '{"a": 1, "a": 2}'])
def test_a_genotype_file_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        Genotype.from_json(text)
