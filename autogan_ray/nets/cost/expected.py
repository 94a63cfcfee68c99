"""What a network costs on average when every decision is drawn by its own probabilities, as a closed form.

A derived network is a set of layers, and each stands behind the choices of the places around it: an operation of a DAG
behind one, the up-sampling of AutoGAN's block behind two (``conv`` and ``up``). With independent decisions a layer is
there with the product of their probabilities, and the expected cost is the sum of layer costs times those products.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from autogan_ray.nets.cost.count import count_macs, count_parameters, layer_macs
from autogan_ray.nets.gan import Discriminator, Generator, Shape
from autogan_ray.nets.place import Place
from autogan_ray.spaces.blocks import BlockPart
from autogan_ray.spaces.operations import NONE
from autogan_ray.spaces.part import Decision
from autogan_ray.spaces.space import SearchSpace

Behind = tuple[tuple[str, str], ...]
"""The (decision, choice) pairs that must all be chosen for a layer to be there; empty for a fixed part."""


@dataclass(frozen=True)
class ExpectedCost:
    """Of one network. ``parts``: what stands behind which choices, summed; exact whole numbers.

    With ``params`` it is exactly the mean of the derived networks' parameters over independent draws. With ``macs`` it
    is that of their multiply-accumulates where every operation that is there also runs: always in spaces without
    ``none``; otherwise operations that lead to a node which nothing reads are counted though they do not run, and it
    is an upper bound. Draws that form no network are neither left out nor repaired.
    """

    decisions: tuple[Decision, ...]
    parts: Mapping[Behind, int]

    def of(self, choices: Mapping[str, str]) -> int:
        """The cost at sure decisions: decision -> choice."""
        return sum(cost for behind, cost in self.parts.items() if all(choices[name] == one for name, one in behind))

    def __call__(self, shares: Tensor) -> Tensor:
        """Expected cost, 0-dim, of probabilities [decisions, widest], with gradient to them."""
        place = shares.device, shares.dtype
        if place not in self._tables:
            at, costs = self._table
            self._tables[place] = at.to(shares.device), costs.to(shares)
        at, costs = self._tables[place]
        padded = torch.cat([shares.flatten(), shares.new_ones(1)])
        return (costs * padded[at].prod(dim=1)).sum()

    @cached_property
    def uniform(self) -> float:
        """Where every choice of a decision is as likely as the others."""
        chances = {decision.name: 1 / len(decision.choices) for decision in self.decisions}
        total = 0.0
        for behind, cost in self.parts.items():
            share = float(cost)
            for name, _ in behind:
                share *= chances[name]
            total += share
        return total

    @cached_property
    def _tables(self) -> dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]]:
        """The table where it was asked for: each step asks, and a copy to a GPU would wait for it."""
        return {}

    @cached_property
    def _table(self) -> tuple[Tensor, Tensor]:
        """Places of each part's probabilities in the flat matrix, filled up with that of a 1 behind it; and costs."""
        widest = max(len(decision.choices) for decision in self.decisions)
        rows = {decision.name: (row, decision.choices) for row, decision in enumerate(self.decisions)}
        one = len(self.decisions) * widest
        depth = max(len(behind) for behind in self.parts)
        at = []
        for behind in self.parts:
            found = [rows[name][0] * widest + rows[name][1].index(choice) for name, choice in behind]
            at.append(found + [one] * (depth - len(found)))
        return torch.tensor(at), torch.tensor(list(self.parts.values()), dtype=torch.float64)


def expected_cost(space: SearchSpace, shape: Shape, network: str, kind: str) -> ExpectedCost:
    """The cost of ``g`` or ``d`` in ``macs`` or ``params``; as a derived network would have it, so that with batch
    norms that have weights only there, these count."""
    decisions = space.decisions_g(shape.image_size) if network == "g" else space.decisions_d(shape.image_size)
    layers: dict[str, tuple[Behind, int]] = {}
    for choices in _covering(decisions, isinstance(space.generator, BlockPart) and network == "g"):
        layers |= _layers(space, shape, network, kind, choices)
    parts: dict[Behind, int] = {}
    for behind, cost in layers.values():
        if cost:
            parts[behind] = parts.get(behind, 0) + cost
    return ExpectedCost(decisions, parts)


def _covering(decisions: tuple[Decision, ...], nested: bool) -> Iterator[dict[str, str]]:
    """Choices of networks in which together every layer there can be is there and runs.

    ``nested``: in AutoGAN's block the places of ``norm`` and ``up`` are inside of those of ``conv``, so each of their
    choices is wanted beside each of its.
    """
    working = {d.name: [c for c in d.choices if c not in (NONE, "no")] or [d.choices[0]] for d in decisions}
    outer = {name for name in working if nested and name.endswith(".conv")}
    most_outer, most = (
        max((len(choices) for name, choices in working.items() if (name in outer) == inside), default=1)
        for inside in (True, False)
    )
    for at in itertools.product(range(most_outer), range(most)):
        turns = {name: at[name not in outer] for name in working}
        yield {name: choices[turns[name] % len(choices)] for name, choices in working.items()}


def _layers(
    space: SearchSpace, shape: Shape, network: str, kind: str, choices: Mapping[str, str]
) -> dict[str, tuple[Behind, int]]:
    """The layers of one derived network: name -> (what it stands behind, cost)."""
    with torch.device("meta"):
        if network == "g":
            built: Generator | Discriminator = Generator(space, shape, choices)
            example = torch.empty(1, shape.latent_dim)
        else:
            built = Discriminator(space, shape, choices)
            example = torch.empty(1, shape.image_channels, shape.image_size, shape.image_size)
        if built.whole is not None:  # these multiply outside of layers too
            whole = (built.whole.decision.name, choices[built.whole.decision.name])
            total = count_parameters(built) if kind == "params" else count_macs(built, example)
            return {whole[1]: ((whole,), total)}
        if kind == "params":
            costs = {
                name: sum(parameter.numel() for parameter in module.parameters(recurse=False))
                for name, module in built.named_modules()
            }
        else:
            costs = layer_macs(built, example)
    places = {name: module for name, module in built.named_modules() if isinstance(module, Place)}
    found: dict[str, tuple[Behind, int]] = {}
    for name, cost in costs.items():
        around = [place for lead, place in places.items() if name.startswith(f"{lead}.")]
        found[name] = (tuple((place.decision.name, place.chosen or "") for place in around), cost)
    return found
