"""An open place of a network: every choice with its weight in a supernet, the chosen one in a derived network.

Several places may belong to one decision (a block's normalisation stands twice): they share its name and weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autogan_ray.nets.drawn import auxiliary_of, left_of
from autogan_ray.nets.ops import Zero
from autogan_ray.space import Decision


@dataclass(frozen=True)
class One:
    """Only choice ``index`` runs; ``scale`` is 1 in value and carries the gradient to the logits (straight-through)."""

    index: int
    scale: Tensor | None = None


Weights = Tensor | One
"""Of one decision: a vector over its choices (a mixture), or a single choice."""

Selection = Mapping[str, Weights]
"""decision -> weights, drawn once a forward pass for the whole network."""


class Place(nn.Module):
    """Holds one module a choice under the choice's name.

    Args:
        decision: whose weights apply.
        build: choice -> module.
        chosen: None in a supernet; in a derived network the choice, and only its module is built. Parameter names
            are equal in both, so inherited weights are a subset of the supernet's ``state_dict``.
    """

    def __init__(self, decision: Decision, build: Callable[[str], nn.Module], chosen: str | None = None) -> None:
        super().__init__()
        self.decision = decision
        self.chosen = chosen
        built = decision.choices if chosen is None else (chosen,)
        self.choices = nn.ModuleDict({choice: build(choice) for choice in built})

    def forward(self, x: Tensor, selection: Selection) -> Tensor:
        if self.chosen is not None:
            return self.choices[self.chosen](x)
        weights = selection[self.decision.name]
        if isinstance(weights, One):
            return self._single(x, weights)
        total: Tensor | None = None
        shares, modules = weights.unbind(), list(self.choices.values())
        for index in left_of(selection, self.decision):
            if not isinstance(modules[index], Zero):
                part = shares[index] * modules[index](x)
                total = part if total is None else total + part
        auxiliary = auxiliary_of(selection, self.decision)
        if auxiliary:
            total = auxiliary * x if total is None else total + auxiliary * x
        return torch.zeros_like(x) if total is None else total

    def _single(self, x: Tensor, weights: One) -> Tensor:
        output = self.choices[self.decision.choices[weights.index]](x)
        return output if weights.scale is None else weights.scale * output


Choices = Mapping[str, str]
"""decision -> choice: what a derived network is built from; None stands for "keep all" (a supernet)."""


class Places:
    """Makes the places of one network: it knows the decisions and, for a derived network, the choices."""

    def __init__(self, decisions: tuple[Decision, ...], choices: Choices | None) -> None:
        self._decisions = {decision.name: decision for decision in decisions}
        self._choices = choices

    @property
    def derived(self) -> bool:
        """Whether the network is a derived one."""
        return self._choices is not None

    def place(self, name: str, build: Callable[[str], nn.Module]) -> Place:
        return Place(self._decisions[name], build, None if self._choices is None else self._choices[name])
