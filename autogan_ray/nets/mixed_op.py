"""The mixed operation: all choices of a decision and their weighted sum; in a derived network only the chosen one.

    o(x) = sum over the choices i of  w_i * o_i(x)                 (DARTS, Liu et al., ICLR 2019, equation 2)

Several mixed operations may belong to one decision (a block's normalisation stands twice): they have its name and
architecture weights in common.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce

import torch
from torch import Tensor, nn

from autogan_ray.nets.ops import Zero
from autogan_ray.nets.relaxation import Selection, SingleChoice, auxiliary_weight, choices_left
from autogan_ray.spaces.part import Decision


class Nested(nn.Module):
    """A choice that holds mixed operations of its own, and is therefore called with the selection too."""


class MixedOp(nn.Module):
    """Holds one module for each choice of a decision, under the choice's name.

    Parameter names are equal in a supernet and in a derived network, so that inherited weights are a subset of the
    supernet's ``state_dict``.

    Args:
        decision: the decision that it is open at.
        build: choice -> module. A module :class:`~autogan_ray.nets.ops.Zero` stands for "no connection".
        chosen: the choice of a derived network, for which alone a module is built; None in a supernet.

    ``fast``: computes the same faster; None computes it as written here. See :mod:`autogan_ray.nets.compute`.
    """

    fast: Callable[[Tensor, Selection], Tensor] | None = None

    def __init__(self, decision: Decision, build: Callable[[str], nn.Module], chosen: str | None = None) -> None:
        super().__init__()
        self.decision = decision
        self.chosen = chosen
        built = decision.choices if chosen is None else (chosen,)
        self.choices = nn.ModuleDict({choice: build(choice) for choice in built})

    def forward(self, x: Tensor, selection: Selection) -> Tensor:
        return self.plain(x, selection) if self.fast is None else self.fast(x, selection)

    def plain(self, x: Tensor, selection: Selection) -> Tensor:
        """The weighted sum of the choices; of a single choice its output, times the scale."""
        single = self.single_choice(selection)
        if single is not None:
            choice, scale = single
            output = self.call(choice, x, selection)
            return output if scale is None else scale * output
        weights = selection[self.decision.name]
        assert isinstance(weights, Tensor)
        terms = [weights[number] * self.call(choice, x, selection) for number, choice in self.mixed(selection)]
        b = auxiliary_weight(selection, self.decision)
        if b:
            terms.append(b * x)
        return total(terms) if terms else torch.zeros_like(x)

    def call(self, choice: str, x: Tensor, selection: Selection) -> Tensor:
        """The output of one choice, without its weight."""
        module = self.choices[choice]
        return module(x, selection) if isinstance(module, Nested) else module(x)

    def single_choice(self, selection: Selection) -> tuple[str, Tensor | None] | None:
        """The only choice that runs and its straight-through scale; None for a mixture."""
        if self.chosen is not None:
            return self.chosen, None
        weights = selection[self.decision.name]
        return (self.decision.choices[weights.index], weights.scale) if isinstance(weights, SingleChoice) else None

    def mixed(self, selection: Selection) -> list[tuple[int, str]]:
        """Number and name of each choice that a mixture computes: those left that are a connection."""
        left = [(number, self.decision.choices[number]) for number in choices_left(selection, self.decision)]
        return [(number, choice) for number, choice in left if not isinstance(self.choices[choice], Zero)]

    def connects(self, selection: Selection) -> bool:
        """False where it adds nothing: its single choice, or all that is left of a mixture, is "no connection"."""
        single = self.single_choice(selection)
        return bool(self.mixed(selection)) if single is None else not isinstance(self.choices[single[0]], Zero)


def total(terms: list[Tensor]) -> Tensor:
    """The sum of at least one tensor, in their order."""
    return reduce(torch.add, terms)


class MixedOpBuilder:
    """Builds the mixed operations of one network.

    Args:
        decisions: those of the network.
        choices: decision -> choice of a derived network; None keeps all choices (a supernet).
    """

    def __init__(self, decisions: tuple[Decision, ...], choices: Mapping[str, str] | None) -> None:
        self._decisions = {decision.name: decision for decision in decisions}
        self._choices = choices

    @property
    def derived(self) -> bool:
        """Whether the network is a derived one."""
        return self._choices is not None

    def build(self, name: str, build: Callable[[str], nn.Module]) -> MixedOp:
        """The mixed operation of the decision ``name``. Args: build: choice -> module."""
        return MixedOp(self._decisions[name], build, None if self._choices is None else self._choices[name])
