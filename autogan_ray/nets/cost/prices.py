"""What every choice of a space costs, by itself or beside another one: parameters and multiply-accumulates.

A network's cost is a sum over its modules. One is built where some choices are made (``conv_3x3`` at ``g.cell1.e0``; in
a block ``skip1`` is ``yes`` and ``up`` is ``deconv``) and costs the same in all such networks, as cells have one width
and no choice changes an image side. So a few networks that show each module once tell all.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from autogan_ray.nets.cost.count import count_macs, count_parameters
from autogan_ray.nets.gan import Discriminator, Generator, Shape
from autogan_ray.nets.place import Place, computed_plainly
from autogan_ray.spaces.blocks import BlockPart, DiscriminatorPart, GeneratorPart, WholePart
from autogan_ray.spaces.derivation.cell_labels import Prices, When
from autogan_ray.spaces.operations import NONE
from autogan_ray.spaces.part import Decision
from autogan_ray.spaces.space import SearchSpace

Choices = dict[str, str]

_known: dict[tuple[str, Shape], dict[str, Prices]] = {}
"""By content of the space: a study asks for the same few again and again, and each takes a second."""


def price_table(space: SearchSpace, shape: Shape) -> dict[str, Prices]:
    """``params_g``, ``macs_g``, ``params_d``, ``macs_d``: prices of one image, counted as ``genotype_cost`` does.

    Computed on the meta device. MACs are of modules that run; where an edge does not, as nobody reads its node, it has
    none. Networks are taken without classes. Raises SpaceError or ConfigError where the image size or the length of z
    does not fit the space.
    """
    assert not shape.class_shares
    key = space.digest, shape
    if key not in _known:
        _known[key] = _price_table(space, shape)
    return dict(_known[key])


def _price_table(space: SearchSpace, shape: Shape) -> dict[str, Prices]:
    with torch.device("meta"):
        z = torch.empty(1, shape.latent_dim)
        images = torch.empty(1, shape.image_channels, shape.image_size, shape.image_size)
        g, d = space.decisions_g(shape.image_size), space.decisions_d(shape.image_size)
        params_g, macs_g = _priced(space.generator, g, lambda choices: Generator(space, shape, choices), z)
        params_d, macs_d = _priced(space.discriminator, d, lambda choices: Discriminator(space, shape, choices), images)
    return {"params_g": params_g, "macs_g": macs_g, "params_d": params_d, "macs_d": macs_d}


def _priced(
    part: GeneratorPart | DiscriminatorPart,
    decisions: Sequence[Decision],
    build: Callable[[Choices], nn.Module],
    example: Tensor,
) -> tuple[Prices, Prices]:
    networks = [(choices, build(choices)) for choices in _probes(part, decisions)]
    if not isinstance(part, WholePart):
        return _measured([one for _, one in networks], example)
    params = {frozenset(choices.items()): count_parameters(one) for choices, one in networks}
    return params, {frozenset(choices.items()): count_macs(one, example) for choices, one in networks}


def _probes(part: GeneratorPart | DiscriminatorPart, decisions: Sequence[Decision]) -> list[Choices]:
    """Choices of so many networks that each module stands in one of them and runs.

    In a block it may wait for two decisions: for ``conv`` beside ``norm`` or ``up``, or for a skip beside ``up``.
    """
    usable = {d.name: [c for c in d.choices if c not in (NONE, "no")] or d.choices for d in decisions}
    rounds = range(max((len(choices) for choices in usable.values()), default=1))
    orders = part.conv if isinstance(part, BlockPart) else ("",)
    return [
        {n: order if order and n.endswith(".conv") else choices[i % len(choices)] for n, choices in usable.items()}
        for order, i in itertools.product(orders, rounds)
    ]


def _measured(networks: Sequence[nn.Module], example: Tensor) -> tuple[Prices, Prices]:
    """Parameters, and MACs where it runs, of all that stands under a condition; fixed parts are in every network."""
    seen: dict[str, tuple[When, int, int]] = {}
    for network in networks:
        macs = _macs_of_leaves(network, example)
        for path, module, when in _walk(network, "", frozenset()):
            cost = when, sum(p.numel() for p in module.parameters(recurse=False)), macs.get(module, 0)
            assert seen.setdefault(path, cost) == cost, f"{path}: what it costs depends on other choices"
    params, macs_under = Counter[When](), Counter[When]()
    for when, own_params, own_macs in seen.values():
        params[when] += own_params
        macs_under[when] += own_macs
    return dict(params), dict(macs_under)  # plain: what no network has shown is missing, and not 0


def _walk(module: nn.Module, path: str, when: When) -> Iterator[tuple[str, nn.Module, When]]:
    yield path, module, when
    if isinstance(module, Place):
        for choice, chosen in module.choices.items():
            yield from _walk(chosen, f"{path}.{choice}", when | {(module.decision.name, choice)})
    else:
        for name, child in module.named_children():
            yield from _walk(child, f"{path}.{name}", when)


def _macs_of_leaves(network: nn.Module, example: Tensor) -> dict[nn.Module, int]:
    """MACs of each module without children, over all its calls in one plain forward pass in evaluation mode."""
    calls: list[tuple[nn.Module, torch.Size]] = []
    leaves = [module for module in network.modules() if not list(module.children()) and list(module.parameters())]
    hooks = [leaf.register_forward_hook(lambda m, inputs, _: calls.append((m, inputs[0].shape))) for leaf in leaves]
    with torch.no_grad(), computed_plainly(network):
        network.eval()(example)
    for hook in hooks:
        hook.remove()
    found = dict.fromkeys(leaves, 0)
    for leaf, shape in calls:
        found[leaf] += count_macs(leaf, torch.empty(shape))
    return found
