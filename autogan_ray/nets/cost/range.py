"""What the smallest and the largest connected network of a space cost, exactly.

No genotype is tried. A network's cost is a sum over its modules, whose prices are known
(:mod:`~autogan_ray.nets.cost.prices`), and cells are independent: so the smallest network is what
:func:`~autogan_ray.spaces.derivation.derive.smallest` puts together cell by cell. The largest is the smallest at
negated prices, where no edge of a DAG is empty: with all edges there all run, as no file has a node that nobody reads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from autogan_ray.nets.cost.prices import price_table
from autogan_ray.nets.shape import Shape
from autogan_ray.spaces.derivation.cell_labels import Prices
from autogan_ray.spaces.derivation.derive import QUANTITIES, Limit, Rules, smallest
from autogan_ray.spaces.space import SearchSpace


@dataclass(frozen=True)
class Extreme:
    """A cost, and choices (decision -> choice, of one network) that attain it."""

    value: int
    choices: dict[str, str]


@dataclass(frozen=True)
class Range:
    """Of one quantity of one network, over all connected genotypes."""

    smallest: Extreme
    largest: Extreme


def cost_range(space: SearchSpace, shape: Shape) -> dict[str, Range]:
    """Returns the ranges of ``params_g``, ``macs_g``, ``params_d``, ``macs_d`` as ``genotype_cost`` counts them.

    MACs are of one image. Networks are taken without classes. Raises SpaceError or ConfigError where the image size or
    the length of z does not fit the space.
    """
    table = price_table(space, shape)
    ranges = {}
    for network in space.networks:
        for quantity in QUANTITIES:
            key = f"{quantity}_{network}"
            negated = {when: -price for when, price in table[key].items()}
            least = _least(space, shape.image_size, network, quantity, table[key], exclude_none=False)
            most = _least(space, shape.image_size, network, quantity, negated, exclude_none=True)
            ranges[key] = Range(least, Extreme(-most.value, most.choices))
    return ranges


def _least(
    space: SearchSpace, image_size: int, network: str, quantity: str, prices: Prices, exclude_none: bool
) -> Extreme:
    rules = Rules(exclude_none, limits={(network, quantity): Limit(math.inf, prices)})
    least = smallest(space, network, image_size, rules, quantity)
    assert least is not None, "a file in which no genotype is connected is refused"
    value, choices = least
    return Extreme(value, {decision.name: choices[decision.name] for decision in space.decisions(image_size, network)})
