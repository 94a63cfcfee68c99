"""What a network costs on average when every decision is drawn by its own probabilities, as a closed form.

A derived network is a set of layers, each there under certain choices: an operation of a DAG under its own, the
up-sampling of AutoGAN's block under two (``conv`` and ``up``). With independent decisions a layer is there with the
product of the probabilities of these choices, and the expected cost is the sum of prices times those products.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from autogan_ray.nets.cost.prices import price_table
from autogan_ray.nets.shape import Shape
from autogan_ray.spaces.derivation.cell_labels import When
from autogan_ray.spaces.part import Decision
from autogan_ray.spaces.space import SearchSpace


@dataclass(frozen=True)
class ExpectedCost:
    """The expected cost of one network.

    With ``params`` it is exactly the mean of the derived networks' parameters over independent draws. With ``macs`` it
    is that of their multiply-accumulates where every operation that is there also runs: always in spaces without
    ``none``; otherwise operations that lead to a node which nothing reads are counted though they do not run, and it
    is an upper bound. Draws that form no network are neither left out nor repaired.

    Args:
        decisions: of the network; rows of the probabilities.
        prices: the (decision, choice) pairs that must all hold for layers to be there -> what these layers cost
            together, not 0 (:func:`~autogan_ray.nets.cost.prices.price_table`).
    """

    decisions: tuple[Decision, ...]
    prices: Mapping[When, int]

    def __call__(self, probabilities: Tensor) -> Tensor:
        """Returns the expected cost, 0-dim, with gradient to the probabilities [decisions, widest]."""
        where = probabilities.device, probabilities.dtype
        if where not in self._tables:
            at, costs = self._table
            self._tables[where] = at.to(probabilities.device), costs.to(probabilities)
        at, costs = self._tables[where]
        padded = torch.cat([probabilities.flatten(), probabilities.new_ones(1)])
        return (costs * padded[at].prod(dim=1)).sum()

    @cached_property
    def uniform(self) -> float:
        """Where every choice of a decision is as likely as the others."""
        chances = {decision.name: 1 / len(decision.choices) for decision in self.decisions}
        total = 0.0
        for when, price in self.prices.items():
            expected = float(price)
            for name, _ in when:
                expected *= chances[name]
            total += expected
        return total

    @cached_property
    def _tables(self) -> dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]]:
        """The table by device and number format: every step reads it, and a copy to a GPU would make it wait."""
        return {}

    @cached_property
    def _table(self) -> tuple[Tensor, Tensor]:
        """Indices [prices, deepest condition] into the flattened probabilities, and the prices [prices].

        A price under fewer conditions is filled up with the index of a 1 that stands behind the probabilities.
        """
        widest = max(len(decision.choices) for decision in self.decisions)
        rows = {decision.name: (row, decision.choices) for row, decision in enumerate(self.decisions)}
        certain = len(self.decisions) * widest
        depth = max(len(when) for when in self.prices)
        at = []
        for when in self.prices:
            indices = [rows[name][0] * widest + rows[name][1].index(choice) for name, choice in when]
            at.append(indices + [certain] * (depth - len(indices)))
        return torch.tensor(at), torch.tensor(list(self.prices.values()), dtype=torch.float64)


def expected_cost(space: SearchSpace, shape: Shape, network: str, kind: str) -> ExpectedCost:
    """Returns the expected cost of one network as a derived network would have it.

    Args:
        network: ``g`` or ``d``.
        kind: ``macs`` (of one image) or ``params``. Batch norms that have weights only in a derived network count.
    """
    prices = price_table(space, shape)[f"{kind}_{network}"]
    return ExpectedCost(
        space.decisions(shape.image_size, network), {when: price for when, price in prices.items() if price}
    )
