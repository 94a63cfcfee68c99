"""The rules that a trial's ``[derive]`` sets for a space's networks, held to what the space can do at all."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.sections import DeriveConfig
from autogan_ray.nets.cost.prices import price_table
from autogan_ray.nets.shape import Shape
from autogan_ray.spaces.derivation.derive import NETWORKS, QUANTITIES, Limit, Rules, most_probable, smallest
from autogan_ray.spaces.space import SearchSpace

_NAMES = {"g": "generator", "d": "discriminator"}
_UNITS = {"params": "parameters", "macs": "MACs"}


def rules_of(derive: DeriveConfig, space: SearchSpace, shape: Shape) -> Rules:
    """Returns the rules that a trial's section ``[derive]`` sets; prices are looked up only where a cost is limited.

    Raises ConfigError for a limit that no connected network of the space meets beside the other rules, with the least
    limit that a network meets.
    """
    most = {network: getattr(derive, f"max_skips_per_cell_{network}") for network in NETWORKS}
    wanted = {pair: getattr(derive, f"max_{pair[1]}_{pair[0]}") for pair in itertools.product(NETWORKS, QUANTITIES)}
    rules = Rules(derive.exclude_none, {network: count for network, count in most.items() if count is not None})
    for network in rules.most_skips:
        _check_skips(space, shape, rules, network)
    if all(value is None for value in wanted.values()):
        return rules
    table = price_table(space, shape)
    limits = {(n, q): Limit(value, table[f"{q}_{n}"]) for (n, q), value in wanted.items() if value is not None}
    for network, quantity in limits:
        _check_cost(space, shape, rules, limits, network, quantity)
    return replace(rules, limits=limits)


def _check_skips(space: SearchSpace, shape: Shape, rules: Rules, network: str) -> None:
    rows, most = rules.equally_likely(space, network, shape.image_size), rules.most_skips[network]
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
    """Raises ConfigError where no network meets this limit within those before it, which were checked already."""
    limit, before = limits[network, quantity], QUANTITIES[: QUANTITIES.index(quantity)]
    earlier = {(n, q): other for (n, q), other in limits.items() if n == network and q in before}
    open_ended = {(network, quantity): replace(limit, most=math.inf)}

    def least_within(others: dict[tuple[str, str], Limit]) -> int | None:
        within = replace(rules, limits=open_ended | others)
        cost_and_choices = smallest(space, network, shape.image_size, within, quantity)
        return None if cost_and_choices is None else cost_and_choices[0]

    least = least_within({})
    beside = _beside(rules.exclude_none, rules.most_skips.get(network))
    if least is not None and least <= limit.most and earlier:
        least = least_within(earlier)
        beside = "".join(f" within derive.max_{q}_{n} = {e.most}" for (n, q), e in earlier.items()) + beside
    assert least is not None, "the limits before this one and the skips were found possible"
    if least > limit.most:
        width = shape.channels_g if network == "g" else shape.channels_d
        raise ConfigError(
            f"derive.max_{quantity}_{network} = {limit.most}: the smallest {_NAMES[network]} of space {space.name!r} "
            f"at {shape.image_size} px with model.channels_{network} = {width}{beside} has {least:,} "
            f"{_UNITS[quantity]}; raise the limit to at least that, or make the network narrower"
        )


def _beside(exclude_none: bool, most_skips: int | None = None) -> str:
    """Returns the rules that narrow the choice besides, as words that follow a noun."""
    words = [" without 'none'"] if exclude_none else []
    if most_skips is not None:
        words.append(f" with at most {most_skips} skips a cell")
    return " and".join(words)
