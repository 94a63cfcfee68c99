"""What every choice of a space costs, by itself or beside another one: parameters and multiply-accumulates.

A network's cost is a sum over its modules. A module is built where certain choices are made (``conv_3x3`` at
``g.cell1.e0``; in a block ``skip1`` is ``yes`` and ``up`` is ``deconv``) and costs the same in all such networks, as
cells have one width and no choice changes an image side. So a few networks that show each module once tell all prices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from autogan_ray.nets.cost.count import count_macs, count_parameters, layer_macs
from autogan_ray.nets.gan import Discriminator, Generator
from autogan_ray.nets.mixed_op import MixedOp
from autogan_ray.nets.shape import Shape
from autogan_ray.spaces.derivation.cell_labels import Prices, When
from autogan_ray.spaces.space import SearchSpace

Choices = dict[str, str]

_known: dict[tuple[str, Shape], dict[str, Prices]] = {}
"""By the digest of the space: a study asks for the same few tables again and again, and each takes a second."""


def price_table(space: SearchSpace, shape: Shape) -> dict[str, Prices]:
    """Returns the prices behind ``params_g``, ``macs_g``, ``params_d``, ``macs_d`` as ``genotype_cost`` counts them.

    They are computed on the meta device. MACs are of one image and of modules that run: an edge into a node that nobody
    reads does not run and costs none. Networks are taken without classes. Raises SpaceError or ConfigError where the
    image size or the length of z does not fit the space.
    """
    assert not shape.class_shares
    key = space.digest, shape
    if key not in _known:
        _known[key] = _price_table(space, shape)
    return dict(_known[key])


def _price_table(space: SearchSpace, shape: Shape) -> dict[str, Prices]:
    table: dict[str, Prices] = {}
    with torch.device("meta"):
        z = torch.empty(1, shape.latent_dim)
        images = torch.empty(1, shape.image_channels, shape.image_size, shape.image_size)
        for network, build, example in (("g", Generator, z), ("d", Discriminator, images)):
            decisions = space.decisions(shape.image_size, network)
            covering = space.networks[network].covering(decisions)
            built = [(choices, build(space, shape, choices)) for choices in covering]
            table[f"params_{network}"], table[f"macs_{network}"] = (
                _measured([module for _, module in built], example)
                if built[0][1].whole is None
                else _measured_whole(built, example)
            )
    return table


def _measured_whole(
    networks: Sequence[tuple[Choices, Generator | Discriminator]], example: Tensor
) -> tuple[Prices, Prices]:
    """Returns parameters and MACs of hand-made networks, each as one piece: they multiply outside of layers too."""
    params = {frozenset(choices.items()): count_parameters(network) for choices, network in networks}
    return params, {frozenset(choices.items()): count_macs(network, example) for choices, network in networks}


def _measured(networks: Sequence[nn.Module], example: Tensor) -> tuple[Prices, Prices]:
    """Returns parameters and MACs of all that stands under a condition; fixed parts are in every network."""
    known: dict[str, tuple[When, int, int]] = {}
    for network in networks:
        macs = layer_macs(network, example)
        places = {name: module for name, module in network.named_modules() if isinstance(module, MixedOp)}
        for name, module in network.named_modules():
            around = [place for lead, place in places.items() if name.startswith(f"{lead}.")]
            when = frozenset((place.decision.name, place.chosen or "") for place in around)
            cost = when, sum(p.numel() for p in module.parameters(recurse=False)), macs.get(name, 0)
            if any(cost[1:]):
                assert known.setdefault(name, cost) == cost, f"{name}: what it costs depends on other choices"
    params, macs_under = Counter[When](), Counter[When]()
    for when, own_params, own_macs in known.values():
        params[when] += own_params
        macs_under[when] += own_macs
    return dict(params), dict(macs_under)  # plain: what no network has shown is missing, and not 0
