"""The rules that a trial's ``[derive]`` sets for a space's networks, held to what the space can do at all."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.sections import DeriveConfig
from autogan_ray.nets.cost.prices import price_table
from autogan_ray.nets.gan import Shape
from autogan_ray.spaces.derivation.derive import NETWORKS, QUANTITIES, Limit, Rules, most_probable, smallest
from autogan_ray.spaces.space import SearchSpace

_NAMES = {"g": "generator", "d": "discriminator"}
_UNITS = {"params": "parameters", "macs": "MACs"}


def rules_of(derive: DeriveConfig, space: SearchSpace, shape: Shape) -> Rules:
    """Prices are looked up only where a cost is limited.

    Raises ConfigError for a limit that no connected network of the space meets beside the other rules, with the least
    that one could be.
    """
    most = {network: getattr(derive, f"max_skips_per_cell_{network}") for network in NETWORKS}
    asked = {pair: getattr(derive, f"max_{pair[1]}_{pair[0]}") for pair in itertools.product(NETWORKS, QUANTITIES)}
    rules = Rules(derive.exclude_none, {network: count for network, count in most.items() if count is not None})
    for network in rules.most_skips:
        _check_skips(space, shape, rules, network)
    if all(value is None for value in asked.values()):
        return rules
    table = price_table(space, shape)
    limits = {(n, q): Limit(value, table[f"{q}_{n}"]) for (n, q), value in asked.items() if value is not None}
    for network, quantity in limits:
        _check_cost(space, shape, rules, limits, network, quantity)
    return replace(rules, limits=limits)


def _check_skips(space: SearchSpace, shape: Shape, rules: Rules, network: str) -> None:
    rows, most = _equal(space, shape, network, rules), rules.most_skips[network]
    count = most  # as many as there are edges are always enough
    while most_probable(space, network, rows, shape.image_size, replace(rules, most_skips={network: count})) is None:
        count += 1
    if count > most:
        raise ConfigError(
            f"derive.max_skips_per_cell_{network} = {most}: space {space.name!r} has no {_NAMES[network]} with so few "
            f"edges 'skip' in every cell{_beside(rules.exclude_none)}; it must be at least {count}"
        )


def _check_cost(
    space: SearchSpace,
    shape: Shape,
    rules: Rules,
    limits: dict[tuple[str, str], Limit],
    network: str,
    quantity: str,
) -> None:
    """Of a network's limits, those before this one in the order of the settings hold already."""
    limit = limits[network, quantity]
    earlier = {q: limits[network, q] for q in QUANTITIES[: QUANTITIES.index(quantity)] if (network, q) in limits}
    open_ended = {(network, quantity): replace(limit, most=math.inf)}
    rows = _equal(space, shape, network, rules)

    def least_within(others: dict[str, Limit]) -> int | None:
        held = {(network, other): one for other, one in others.items()}
        return smallest(space, network, rows, shape.image_size, replace(rules, limits=open_ended | held), quantity)

    least = least_within({})
    beside = _beside(rules.exclude_none, rules.most_skips.get(network))
    if least is not None and least <= limit.most and earlier:
        least = least_within(earlier)
        beside = "".join(f" within derive.max_{q}_{network} = {one.most}" for q, one in earlier.items()) + beside
    assert least is not None, "the limits before this one and the skips were found possible"
    if least > limit.most:
        width = shape.channels_g if network == "g" else shape.channels_d
        raise ConfigError(
            f"derive.max_{quantity}_{network} = {limit.most}: the smallest {_NAMES[network]} of space {space.name!r} "
            f"at {shape.image_size} px with model.channels_{network} = {width}{beside} has {least:,} "
            f"{_UNITS[quantity]}; raise the limit to at least that, or make the network narrower"
        )


def _equal(space: SearchSpace, shape: Shape, network: str, rules: Rules) -> dict[str, dict[str, float]]:
    """All that a network may take, each as probable as any other: for what is asked of costs alone."""
    decisions = space.decisions_g(shape.image_size) if network == "g" else space.decisions_d(shape.image_size)
    return rules.allowed({decision.name: dict.fromkeys(decision.choices, 1.0) for decision in decisions})


def _beside(exclude_none: bool, most_skips: int | None = None) -> str:
    """What else narrows the choice, to be put behind a noun."""
    found = [" without 'none'"] if exclude_none else []
    if most_skips is not None:
        found.append(f" with at most {most_skips} skips a cell")
    return " and".join(found)
