"""Limits on the cost of derived networks: counted costs obey them, and what no network can meet is refused."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.sections import DeriveConfig
from autogan_ray.nets.cost.count import genotype_cost
from autogan_ray.nets.cost.limits import rules_of
from autogan_ray.nets.cost.prices import price_table
from autogan_ray.nets.cost.range import Range, cost_range
from autogan_ray.nets.gan import Shape
from autogan_ray.spaces.derivation.derive import derive, rows_of
from autogan_ray.spaces.space import SearchSpace, load_space

SHAPE = Shape(8, 1, channels_g=6, channels_d=5, latent_dim=8)
SPACES = ("adversarialnas", "alphagan/eagan", "autogan/fixed")


@pytest.fixture(scope="module")
def extents() -> dict[str, tuple[SearchSpace, dict[str, Range]]]:
    return {name: (space, cost_range(space, SHAPE)) for name in SPACES for space in [load_space(name)]}


def shares_of(space: SearchSpace, seed: int) -> dict[str, dict[str, float]]:
    rng = random.Random(seed)
    drawn = {d.name: {c: rng.random() for c in d.choices} for d in space.decisions(SHAPE.image_size)}
    return {name: {c: p / sum(row.values()) for c, p in row.items()} for name, row in drawn.items()}


@pytest.mark.parametrize("name", SPACES)
def test_counted_costs_of_derived_networks_are_within_the_limits(
    extents: dict[str, tuple[SearchSpace, dict[str, Range]]], name: str
) -> None:
    space, extent = extents[name]
    for seed, part in enumerate((0.0, 0.05, 0.4)):
        bounds = {key: one.smallest.value + int(part * (one.largest.value - one.smallest.value))
                  for key, one in extent.items()}  # fmt: skip
        for keys in (("params_g", "params_d"), ("macs_g", "macs_d"), tuple(bounds) if part > 0.1 else ()):
            derive_config = DeriveConfig(**{f"max_{key}": bounds[key] for key in keys})
            rules = rules_of(derive_config, space, SHAPE)
            genotype = space.genotype(derive(space, shares_of(space, seed), SHAPE.image_size, rules), 8)
            space.check(genotype)
            found = genotype_cost(space, SHAPE, genotype)
            for key in keys:
                assert found[key] <= bounds[key], (key, part)
                assert part or found[key] == extent[key].smallest.value


@pytest.mark.parametrize("name", ["alphagan/eagan", "autogan/fixed"])
def test_prices_of_a_network_add_up_to_its_cost_where_every_edge_runs(name: str) -> None:
    space, table = load_space(name), price_table(load_space(name), SHAPE)
    for seed in range(3):
        choices = derive(space, shares_of(space, seed), 8, rules_of(DeriveConfig(exclude_none=True), space, SHAPE))
        held = frozenset(choices.items())
        sums = {key: sum(price for when, price in prices.items() if when <= held) for key, prices in table.items()}
        assert sums == genotype_cost(space, SHAPE, space.genotype(choices, 8))


def refusal(space: str, **settings: Any) -> str:
    with pytest.raises(ConfigError) as error:
        rules_of(DeriveConfig(**settings), load_space(space), SHAPE)
    return str(error.value)


@pytest.mark.parametrize("key", ["params_g", "params_d", "macs_g", "macs_d"])
def test_a_limit_below_the_smallest_network_is_refused_with_that_network(
    extents: dict[str, tuple[SearchSpace, dict[str, Range]]], key: str
) -> None:
    space, extent = extents["adversarialnas"]
    least = extent[key].smallest.value
    message = refusal("adversarialnas", **{f"max_{key}": least - 1})
    assert f"derive.max_{key} = {least - 1}: the smallest" in message and f"has {least:,} " in message
    assert "'adversarialnas' at 8 px" in message and f"model.channels_{key[-1]} = " in message
    rules_of(DeriveConfig(**{f"max_{key}": least}), space, SHAPE)


def test_the_least_cost_under_other_rules_is_told_and_attained(
    extents: dict[str, tuple[SearchSpace, dict[str, Range]]],
) -> None:
    space, extent = extents["adversarialnas"]
    least = {key: one.smallest.value for key, one in extent.items()}
    others: dict[str, Any] = {"exclude_none": True, "max_skips_per_cell_g": 0}
    message = refusal("adversarialnas", max_params_g=least["params_g"], **others)
    assert "without 'none' and with at most 0 skips a cell has" in message
    narrow = int(message.split(" has ")[1].split(" ")[0].replace(",", ""))
    assert narrow > least["params_g"]
    rules = rules_of(DeriveConfig(max_params_g=narrow, **others), space, SHAPE)
    genotype = space.genotype(derive(space, shares_of(space, 1), 8, rules), 8)
    assert genotype_cost(space, SHAPE, genotype)["params_g"] == narrow
    assert set(dict(genotype.generator).values()) & {"none", "skip"} == set()
    refusal("adversarialnas", max_params_g=narrow - 1, **others)


# Of these two operations one has fewer parameters and the other fewer MACs.
TRADE = """
schema = 1
[generator]
kind = "dag"
[generator.choices]
up = ["deconv_2x2", "deconv_3x3_depthwise"]
[generator.cell]
nodes = ["out"]
output = "out"
edges = [{ name = "u0", from = "in", to = "out", choices = "up" }]
[discriminator]
kind = "dag"
first_block = "autogan"
[discriminator.choices]
some = ["conv_1x1", "skip"]
down = ["down_conv_3x3", "avg_pool"]
tied = ["skip"]
[discriminator.cell]
nodes = ["a", "b", "out"]
output = "out"
edges = [
    { name = "e0", from = "in", to = "a", choices = "tied" },
    { name = "e1", from = "in", to = "b", choices = "tied" },
    { name = "e2", from = "a", to = "b", choices = "some" },
    { name = "d0", from = "b", to = "out", choices = "down" },
]
"""


@pytest.fixture
def trade(tmp_path: Path) -> str:
    file = tmp_path / "trade.toml"
    file.write_text(TRADE)
    return str(file)


def test_two_limits_that_only_different_networks_meet_are_refused_naming_both(trade: str) -> None:
    space = load_space(trade)
    decisions = space.decisions(8)
    costs = [
        genotype_cost(space, SHAPE, space.genotype({d.name: d.choices[at % len(d.choices)] for d in decisions}, 8))
        for at in (0, 1)
    ]
    few_params, few_macs = min(c["params_g"] for c in costs), min(c["macs_g"] for c in costs)
    for alone in ({"max_params_g": few_params}, {"max_macs_g": few_macs}):
        rules_of(DeriveConfig(**alone), load_space(trade), SHAPE)
    message = refusal(trade, max_params_g=few_params, max_macs_g=few_macs)
    assert f"derive.max_macs_g = {few_macs}: the smallest generator" in message
    assert f" within derive.max_params_g = {few_params} has {max(c['macs_g'] for c in costs):,} MACs" in message


def test_skips_that_cannot_give_way_are_refused_with_how_many_there_are(trade: str) -> None:
    message = refusal(trade, max_skips_per_cell_d=1)
    assert "derive.max_skips_per_cell_d = 1" in message and "it must be at least 2" in message
    rules_of(DeriveConfig(max_skips_per_cell_d=2), load_space(trade), SHAPE)
    rules_of(DeriveConfig(max_skips_per_cell_g=0), load_space(trade), SHAPE)


def test_a_network_in_which_nothing_is_decided_is_held_to_its_limits_too() -> None:
    space = load_space("autogan/fixed")
    cost = genotype_cost(space, SHAPE, space.random(8, 0))["params_d"]
    assert f"has {cost:,} parameters" in refusal("autogan/fixed", max_params_d=cost - 1)
    rules = rules_of(DeriveConfig(max_params_d=cost), space, SHAPE)
    assert derive(space, shares_of(space, 0), 8, rules).keys() == rows_of("g", shares_of(space, 0)).keys()


def test_rules_without_a_limit_on_cost_ask_for_no_price(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autogan_ray.nets.cost.limits.price_table", lambda *_: pytest.fail("not wanted"))
    rules = rules_of(DeriveConfig(exclude_none=True, max_skips_per_cell_g=2), load_space("adversarialnas"), SHAPE)
    assert rules.exclude_none and rules.most_skips == {"g": 2} and not rules.limits
