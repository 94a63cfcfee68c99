"""Published genotypes: files that are values, fit their spaces, have the originals' sizes, and quote with protocol."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import autogan_ray as ag
from autogan_ray.base import catalog
from autogan_ray.base.errors import ConfigError, GenotypeError, NotFoundError
from autogan_ray.cli.main import main
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.spaces.load import space_of
from autogan_ray.spaces.published import all_published, load_genotype, load_published

NAMES = catalog.names("genotype")
EXPECTED = {
    *("autogan-a", "autogan-b", "autogan-c", "e2gan", "adversarialnas", "mmd-adversarialnas"),
    *("alphagan-s", "alphagan-l", "eagan-g", "eagan-cifar10", "eagan-stl10"),
}


def genotypes(*arguments: str) -> str:
    found = CliRunner().invoke(main, ["genotypes", *arguments])
    assert found.exit_code == 0, found.output
    return found.output


def test_the_field_is_here() -> None:
    assert set(NAMES) >= EXPECTED


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_genotype_fits_its_space_and_survives_json(name: str) -> None:
    found = load_published(name)
    space_of(found.genotype).check(found.genotype)
    again = Genotype.from_json(found.genotype.to_json())
    assert again == found.genotype == ag.load_genotype(name)
    assert found.about.title and found.about.source


def test_no_two_shipped_genotypes_share_an_id_unless_only_d_or_the_size_differ() -> None:
    ids = [load_genotype(name).genotype_id for name in NAMES]
    assert len(set(ids)) == len(ids)


# Measured on the published modules: parameters, and multiply-accumulates of one image in units of 10^9 to the sixth
# decimal. AutoGAN's D is that of every generator with a fixed one.
@pytest.mark.parametrize(
    ("name", "size", "params", "gmacs"),
    [
        ("autogan-a", 32, 4_405_251, "1.765016"),
        ("adversarialnas", 32, 8_846_851, "2.678096"),
        ("alphagan-s", 32, 2_952_707, "0.744915"),
    ],
)
@pytest.mark.parametrize(("side", "gmacs_d"), [(32, "0.272073"), (48, "0.612164")])
def test_sizes_equal_those_of_the_published_modules(
    name: str, size: int, params: int, gmacs: str, side: int, gmacs_d: str
) -> None:
    cost = json.loads(genotypes(name, "--image-size", str(side), "--json"))
    assert (cost["discriminator"]["params"], f"{cost['discriminator']['macs'] / 1e9:.6f}") == (1_053_824, gmacs_d)
    if side == size:
        assert (cost["generator"]["params"], f"{cost['generator']['macs'] / 1e9:.6f}") == (params, gmacs)


@pytest.mark.parametrize("name", ["eagan-g", "eagan-cifar10", "eagan-stl10"])
def test_eagans_generator_is_that_of_the_published_module_without_the_convolution_that_nobody_reads(name: str) -> None:
    small, large = (json.loads(genotypes(name, "--image-size", str(side), "--json")) for side in (32, 48))
    assert large["generator"]["params"] == 11_550_723  # z in three parts
    unread = 32 * 32 * 256 * 256  # the module computes cell3's U0 and throws it away
    assert f"{(small['generator']['macs'] + unread) / 1e9:.6f}" == "1.889567"


def test_widths_and_latent_of_the_command_line_reach_the_networks() -> None:
    found = json.loads(
        genotypes("autogan-a", "--image-size", "48", "--channels", "8", "--channels-d", "6", "--latent", "10", "--json")
    )
    genotype = ag.load_genotype("autogan-a")
    for network, built in (
        ("generator", ag.build_generator(genotype, channels=8, latent_dim=10, image_size=48)),
        ("discriminator", ag.build_discriminator(genotype, channels=6, image_size=48)),
    ):
        assert found[network]["params"] == sum(p.numel() for p in built.parameters())
        assert set(found[network]) == {"params", "macs"}


def test_the_table_fits_a_hundred_columns_and_no_score_lacks_its_protocol() -> None:
    text = genotypes()
    assert max(map(len, text.splitlines())) <= 100
    assert all(name in text for name in EXPECTED)
    for entry in all_published():
        for score in entry.about.scores:
            assert score.features and score.n_fake and score.n_real
            assert score.fid or score.inception_score
            row = next(line for line in text.splitlines() if entry.name in line and f"{score.image_size} px  " in line)
            assert entry.name in row
    listed = json.loads(genotypes("--json"))
    assert {one["name"] for one in listed} == set(NAMES)
    assert all(one["generator"]["params"] > 0 and one["discriminator"]["macs"] > 0 for one in listed)


def test_classes_are_for_networks_that_take_them() -> None:
    biggan = ag.load_genotype("biggan")
    generator = ag.build_generator(biggan, channels=8, latent_dim=12, image_channels=1, classes=3)
    discriminator = ag.build_discriminator(biggan, channels=8, image_channels=1, classes=3)
    z = generator.latents.draw(2, torch.Generator().manual_seed(0))
    assert z.shape == (2, 15)
    images = generator(z)
    scores = [discriminator.eval()(images, classes=torch.eye(3)[[one, one]]) for one in range(3)]
    assert not torch.equal(scores[0], scores[1]) and not torch.equal(scores[1], scores[2])
    assert ag.build_generator(biggan, channels=8, latent_dim=12)(torch.randn(2, 12)).shape == (2, 3, 32, 32)
    with pytest.raises(ConfigError, match="not class-conditional"):
        ag.build_generator(ag.load_genotype("autogan-a"), channels=8, classes=3)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(NotFoundError, match="did you mean 'autogan-a'"):
        load_genotype("autogan-aa")
    found = CliRunner().invoke(main, ["genotypes", "autogn-a"])
    assert found.exit_code == 2 and "did you mean 'autogan-a'" in found.output
    assert CliRunner().invoke(main, ["genotypes", "--latent", "3"]).exit_code == 2


@pytest.mark.parametrize("size", [8, 64, 33])
def test_a_size_with_other_cells_is_refused_by_name(size: int) -> None:
    found = CliRunner().invoke(main, ["genotypes", "autogan-a", "--image-size", str(size)])
    assert found.exit_code == 2 and f"{size} px" in found.output


def test_a_users_own_file_may_say_where_it_is_from_and_the_value_ignores_it(tmp_path: Path) -> None:
    values = load_genotype("autogan-a").to_dict()
    (tmp_path / "mine.json").write_text(json.dumps(values | {"about": {"title": "mine"}}))
    assert load_genotype(tmp_path / "mine.json") == load_genotype("autogan-a")
    (tmp_path / "mine.json").write_text(json.dumps(values | {"abuot": {}}))
    with pytest.raises(GenotypeError, match="unknown key 'abuot'"):
        load_genotype(tmp_path / "mine.json")


def test_what_is_no_genotype_and_numbers_below_one_are_named() -> None:
    name: Any = "autogan-a"
    with pytest.raises(GenotypeError, match=r"a Genotype is wanted, not 'autogan-a'; autogan_ray\.load_genotype"):
        ag.build_generator(name)
    genotype = ag.load_genotype(name)
    for setting in ("channels", "latent_dim", "image_channels"):
        with pytest.raises(ConfigError, match=f"{setting}(_g)? = 0: it is a number of"):
            ag.build_generator(genotype, **{setting: 0})
    with pytest.raises(ConfigError, match="= -1: it is a number of at least 1"):
        ag.build_discriminator(genotype, channels=-1)
