"""An open place of a network: every choice with its weight in a supernet, the chosen one in a derived network.

Several places may belong to one decision (a block's normalisation stands twice): they share its name and weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autogan_ray.nets.fast.blend import Blend
from autogan_ray.nets.fast.branch import Branch
from autogan_ray.nets.fast.bundles import Arrow, Plan
from autogan_ray.nets.fast.gate import gated
from autogan_ray.nets.fast.tap import Tap, Taps
from autogan_ray.nets.fast.total import Total
from autogan_ray.nets.ops import Zero
from autogan_ray.nets.selection import auxiliary_of, left_of
from autogan_ray.nets.spectral import is_spectral
from autogan_ray.spaces.part import Decision


@dataclass(frozen=True)
class One:
    """Only choice ``index`` runs; ``scale`` carries the gradient to the logits (straight-through).

    It is 1 in value: any other value would be ignored, see :func:`~autogan_ray.nets.fast.gate.gated`.
    """

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
        self._normed = {choice: tuple(filter(is_spectral, module.modules())) for choice, module in self.choices.items()}
        self._plans: dict[tuple[int, ...], tuple[Plan, Blend]] = {}

    def forward(self, x: Tensor | Tap, selection: Selection) -> Tensor:
        tap, total = x if isinstance(x, Tap) else Tap(x), Total()
        self.onto(total, tap, selection)
        return torch.zeros_like(tap.value) if total.value is None else total.value

    def onto(self, total: Total, tap: Tap, selection: Selection) -> None:
        """Adds the place's output to ``total``; of a mixture's ``none`` nothing."""
        if self.chosen is not None:
            total.add(self._branches[self.chosen](tap) if self.merge else self.choices[self.chosen](tap.value))
            return
        weights = selection[self.decision.name]
        if isinstance(weights, One):
            output = self._branches[self.decision.choices[weights.index]](tap)
            total.add(output if weights.scale is None else gated(output, weights.scale))
            return
        if self.merge:
            shares = shares_of(selection, self.decision)
            left = tuple(left_of(selection, self.decision))
            if left not in self._plans:
                plan = Plan.of([Arrow("", "in", "out", self.branches(left))], ["in", "out"])
                self._plans[left] = plan, Blend.of([plan])
            plan, blend = self._plans[left]
            plan.steps["in"].onto({"out": total}, Taps({"in": tap}), blend.weighted([{"": shares}])[0])
        else:
            total.add(self._plain(tap.value, weights, left_of(selection, self.decision)))
        self.add_auxiliary(total, tap, selection)

    def mixes(self, selection: Selection) -> bool:
        """Whether the place is a mixture whose choices may be computed together with those of other places."""
        return self.merge and self.chosen is None and not isinstance(selection[self.decision.name], One)

    def normed(self, selection: Selection) -> tuple[nn.Module, ...]:
        """Layers with spectral norm that run, each once, where a single choice does."""
        if self.chosen is not None:
            return self._normed[self.chosen]
        weights = selection[self.decision.name]
        return self._normed[self.decision.choices[weights.index]] if isinstance(weights, One) else ()

    def branches(self, left: Sequence[int]) -> tuple[tuple[int, Branch], ...]:
        """The choices ``left`` that add something: (number among the decision's, branch)."""
        named = ((index, self.decision.choices[index]) for index in left)
        return tuple((i, self._branches[name]) for i, name in named if not isinstance(self.choices[name], Zero))

    def add_auxiliary(self, total: Total, tap: Tap, selection: Selection) -> None:
        """Adds a mixture's auxiliary skip, where it has one."""
        auxiliary = auxiliary_of(selection, self.decision)
        if auxiliary:
            total.add(auxiliary * tap.value, fresh=True)

    def _plain(self, x: Tensor, weights: Tensor, left: Sequence[int]) -> Tensor | None:
        """The same in the textbook form, every choice its own call, no sum in place: merging is tested against it."""
        shares, modules = weights.unbind(), list(self.choices.values())
        total: Tensor | None = None
        for index in left:
            if not isinstance(modules[index], Zero):
                part = shares[index] * modules[index](x)
                total = part if total is None else total + part
        return total


def shares_of(selection: Selection, decision: Decision) -> tuple[Tensor, ...]:
    """The weights of a decision that is a mixture, each 0-dim."""
    weights = selection[decision.name]
    assert isinstance(weights, Tensor)
    return weights.unbind()


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
