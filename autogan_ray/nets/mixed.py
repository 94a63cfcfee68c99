"""An open place of a network: every choice with its weight in a supernet, the chosen one in a derived network.

Several places may belong to one decision (a block's normalisation stands twice): they share its name and weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autogan_ray.nets.branch import Branch, add
from autogan_ray.nets.merged import group_convolutions
from autogan_ray.nets.ops import Zero
from autogan_ray.nets.tap import Tap
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
        self.merge = True
        self._branches = {choice: Branch.of(module) for choice, module in self.choices.items()}
        able = [
            (index, self._branches[choice])
            for index, (choice, module) in enumerate(self.choices.items())
            if not isinstance(module, Zero)
        ]
        self._groups, self._alone = group_convolutions(able)

    def forward(self, x: Tensor | Tap, selection: Selection) -> Tensor:
        tap = x if isinstance(x, Tap) else Tap(x)
        if self.chosen is not None:
            return self._branches[self.chosen](tap) if self.merge else self.choices[self.chosen](tap.value)
        weights = selection[self.decision.name]
        if isinstance(weights, One):
            output = self._branches[self.decision.choices[weights.index]](tap)
            return output if weights.scale is None else weights.scale * output
        return self.mixture(tap, weights) if self.merge else self.plain(tap.value, weights)

    def mixture(self, tap: Tap, weights: Tensor) -> Tensor:
        """The weighted sum of all choices, with what they have in common computed once."""
        total: Tensor | None = None
        for group in self._groups:
            total = add(total, group(tap, weights))
        for index, branch in self._alone:
            total = add(total, branch(tap, weights[index]))
        return torch.zeros_like(tap.value) if total is None else total

    def plain(self, x: Tensor, weights: Tensor) -> Tensor:
        """The same in the textbook form: every choice its own call. What :meth:`mixture` is tested against."""
        total: Tensor | None = None
        for share, module in zip(weights.unbind(), self.choices.values(), strict=True):
            if not isinstance(module, Zero):
                total = add(total, share * module(x))
        return torch.zeros_like(x) if total is None else total


@contextmanager
def computed_plainly(network: nn.Module, plainly: bool = True) -> Iterator[None]:
    """Inside, every operation is a call of its own, as papers count and textbooks compute."""
    places = [module for module in network.modules() if isinstance(module, Place)]
    before = [place.merge for place in places]
    for place in places:
        place.merge = not plainly
    try:
        yield
    finally:
        for place, merge in zip(places, before, strict=True):
            place.merge = merge


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
