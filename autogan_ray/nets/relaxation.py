"""Architecture parameters, and the selections that relaxations draw from them.

A *selection* says for one forward pass of a network what every decision is: a vector of architecture weights, one for
each choice (a mixture), or a single choice. The networks of :mod:`autogan_ray.nets.gan` take one beside their input.

The logits of all decisions of one network are rows of one matrix, padded to the largest number of choices, so that
one softmax serves them all; names lead to rows, and nothing outside this file sees a row number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autogan_ray.spaces.part import Decision

MOST_REDRAWS = 50
"""Where even so many draws are disconnected, the last one runs: its empty nodes are zeros and no gradient flows."""

SPREAD = 1e-3
"""Standard deviation of the initial logits, as published."""

LEFT = "left:"
"""Leads the names of the state's entries that say which choices a decision still has."""


@dataclass(frozen=True)
class SingleChoice:
    """Only the choice ``index`` of a decision runs, as in a sampled architecture.

    ``scale`` (0-dim) multiplies its output and carries the gradient to the logits. It is 1 in value (straight-through).
    """

    index: int
    scale: Tensor | None = None


Selection = Mapping[str, Tensor | SingleChoice]
"""decision -> architecture weights [choices], or a single choice; for a derived network it is empty."""


class MixtureSelection(dict[str, Tensor | SingleChoice]):
    """A selection of mixtures that says more than their weights.

    Args:
        weights: decision -> architecture weights [choices].
        left: decision -> the numbers of the choices it still has, where it lost choices: only these are computed.
        auxiliary: b of the auxiliary skip (DARTS-): a mixed operation adds b * x where ``skip`` is still a choice.
    """

    def __init__(
        self, weights: Mapping[str, Tensor], left: Mapping[str, Sequence[int]] | None = None, auxiliary: float = 0.0
    ) -> None:
        super().__init__(weights)
        self.left, self.auxiliary = left or {}, auxiliary


def choices_left(selection: Selection, decision: Decision) -> Sequence[int]:
    """The numbers of the choices that a mixture computes: all of them, in any mapping but a ``MixtureSelection``."""
    everything = range(len(decision.choices))
    return selection.left.get(decision.name, everything) if isinstance(selection, MixtureSelection) else everything


def auxiliary_weight(selection: Selection, decision: Decision) -> float:
    """b of the auxiliary skip of a decision's mixed operation; 0 where it has none."""
    if not isinstance(selection, MixtureSelection) or not selection.auxiliary or decision.identity is None:
        return 0.0
    skip = decision.choices.index(decision.identity)
    return selection.auxiliary if skip in choices_left(selection, decision) else 0.0


class ArchitectureParameters:
    """The architecture parameters of one network: a vector of logits for each decision.

    It is not a module, so that no network's ``parameters()`` can contain the logits.

    Args:
        decisions: those of the network, in order.
        generator: the source of the initial values, N(0, ``SPREAD``^2).
        connected: whether choices (decision -> choice) form a network. Sampled architectures that do not
            are drawn again, so that only networks are trained which could be derived. None takes every draw.

    ``auxiliary``: b of the mixtures that are drawn (see :class:`MixtureSelection`); the search sets it anew at every
    step, so it is no state.

    ``contested``: bool [decisions, widest], the choices of decisions with more than one, those dropped since included.

    ``settled`` holds the choices (decision -> choice) of a method that picks its genotype otherwise than by the
    likeliest choices; it is the method's to save.
    """

    auxiliary = 0.0

    def __init__(
        self,
        decisions: tuple[Decision, ...],
        generator: torch.Generator,
        device: torch.device | str = "cpu",
        connected: Callable[[Mapping[str, str]], bool] | None = None,
    ) -> None:
        self._connected = connected
        self.decisions = decisions
        self.settled: Mapping[str, str] = {}
        width = max((len(decision.choices) for decision in decisions), default=1)
        start = torch.randn(len(decisions), width, generator=generator) * SPREAD
        mask = torch.zeros(len(decisions), width, dtype=torch.bool)
        for row, decision in enumerate(decisions):
            mask[row, : len(decision.choices)] = True
        self._mask = mask.to(device)
        self.contested = (mask & (mask.sum(1, keepdim=True) > 1)).to(device)
        self._read: tuple[tuple[int, int], Tensor] | None = None
        self.logits = torch.nn.Parameter((start * mask).to(device))
        self._counts = mask.sum(1).tolist()
        self._left: dict[str, tuple[int, ...]] = {}  # numbers of the choices left, of decisions that lost some

    def __len__(self) -> int:
        return len(self.decisions)

    def log_probabilities(self) -> Tensor:
        """[decisions, widest] log-probabilities; -inf where a row has no such choice (any more)."""
        return torch.log_softmax(self.logits.masked_fill(~self._mask, -torch.inf), dim=1)

    def noise(self, generator: torch.Generator) -> Tensor:
        """Standard Gumbel noise; drawn on the CPU, so that a run does not depend on the device."""
        uniform = torch.rand(self.logits.shape, generator=generator).clamp_(min=1e-20)
        return -torch.log(-torch.log(uniform))

    def select(
        self,
        relaxation: str,
        temperature: float,
        generator: torch.Generator,
        logits_as_probabilities: bool = False,
    ) -> Selection:
        """Draws a selection for one forward pass, with gradient to the logits.

        ``softmax``: the probabilities p (temperature plays no part). ``gumbel``: softmax((log p + g) / temperature),
        Maddison et al. 2017. ``gumbel_hard``: only the likeliest choice of that draw runs, and its weight is
        1 - s.detach() + s (straight-through; GDAS, Dong and Yang 2019).

        Args:
            logits_as_probabilities: feed p instead of log p to the Gumbel relaxations, as the published AdversarialNAS
                code did, which draws nearly uniformly whatever the logits say.
        """
        if not self.decisions:
            return {}
        if relaxation == "softmax":
            return self._rows(self.log_probabilities().exp(), self.auxiliary)
        if relaxation == "gumbel":
            soft = self._softened(self.noise(generator), temperature, logits_as_probabilities)
            return self._rows(soft, self.auxiliary)
        assert relaxation == "gumbel_hard", relaxation
        noise, largest = self._connected_draw(generator, logits_as_probabilities)
        scales: Sequence[Tensor | None] = [None] * len(self)
        if torch.is_grad_enabled():  # a scale without gradient is worth nothing
            soft = self._softened(noise, temperature, logits_as_probabilities)
            weight = soft.gather(1, largest.to(soft.device, non_blocking=True).unsqueeze(1)).squeeze(1)
            scales = (1 - weight.detach() + weight).unbind()
        names = [decision.name for decision in self.decisions]
        return dict(zip(names, map(SingleChoice, largest.tolist(), scales), strict=True))

    def _softened(self, noise: Tensor, temperature: float, as_probabilities: bool) -> Tensor:
        """Returns softmax((scores + noise) / temperature) [decisions, widest]."""
        scores = _scores(self.log_probabilities(), as_probabilities)
        return torch.softmax((scores + noise.to(scores.device, non_blocking=True)) / temperature, dim=1)

    def _connected_draw(self, generator: torch.Generator, as_probabilities: bool) -> tuple[Tensor, Tensor]:
        """Draws noise until the largest choices form a network.

        Returns:
            The noise [decisions, widest], and the number of each decision's largest choice with it [decisions].
        """
        scores = _scores(self._log_probabilities_on_cpu(), as_probabilities)
        for _ in range(1 + MOST_REDRAWS):
            noise = self.noise(generator)
            largest = (scores + noise).argmax(dim=1)
            picked = zip(self.decisions, largest.tolist(), strict=True)
            if self._connected is None or self._connected({d.name: d.choices[index] for d, index in picked}):
                break
        return noise, largest

    def _log_probabilities_on_cpu(self) -> Tensor:
        """Returns the log-probabilities on the CPU, which names the operations to run.

        Reading them waits for a GPU, so they are read anew only once they have moved. All that writes to logits counts
        as a move: see :func:`~autogan_ray.training.steps.adam`.
        """
        moved = self.logits._version, self._mask._version
        if self._read is None or self._read[0] != moved:
            self._read = moved, self.log_probabilities().detach().cpu()
        return self._read[1]

    def expected(self) -> Selection:
        """Returns the mixture at its expected weights, softmax of the logits, without gradient (``fid_supernet``)."""
        with torch.no_grad():
            return self._rows(self.log_probabilities().exp()) if self.decisions else {}

    def _rows(self, weights: Tensor, auxiliary: float = 0.0) -> Selection:
        rows = {
            decision.name: row[:count]
            for decision, row, count in zip(self.decisions, weights.unbind(), self._counts, strict=True)
        }
        return MixtureSelection(rows, dict(self._left), auxiliary)

    def left(self) -> dict[str, tuple[str, ...]]:
        """Returns decision -> the choices it still has, in their order."""
        return {d.name: tuple(d.choices[index] for index in self._left_in(d)) for d in self.decisions}

    def drop(self, name: str, choice: str) -> None:
        """Takes a choice from a decision for good: its probability is 0, and it is neither drawn nor computed."""
        row = [decision.name for decision in self.decisions].index(name)
        decision = self.decisions[row]
        self._keep(row, [index for index in self._left_in(decision) if decision.choices[index] != choice])

    def _left_in(self, decision: Decision) -> Sequence[int]:
        return self._left.get(decision.name, range(len(decision.choices)))

    def _keep(self, row: int, left: Sequence[int]) -> None:
        decision = self.decisions[row]
        assert left, f"{decision.name}: the last choice cannot go"
        self._left.pop(decision.name, None)
        if len(left) < len(decision.choices):
            self._left[decision.name] = tuple(left)
        self._mask[row] = torch.tensor([column in left for column in range(self._mask.shape[1])])

    def table(self) -> dict[str, dict[str, tuple[float, float]]]:
        """Returns decision -> choice -> (logit, probability), as Python floats."""
        logits = self.logits.detach().cpu()
        probabilities = self.log_probabilities().detach().double().exp().cpu()
        return {
            decision.name: {
                choice: (float(logits[row, column]), float(probabilities[row, column]))
                for column, choice in enumerate(decision.choices)
            }
            for row, decision in enumerate(self.decisions)
        }

    def state_dict(self) -> dict[str, Tensor]:
        """Returns decision -> logits: under names, so that a state survives a change of order.

        A decision that lost choices has a second entry, the numbers of those left, under ``LEFT`` and its name.
        """
        logits = {
            decision.name: self.logits.detach()[row, : len(decision.choices)].clone()
            for row, decision in enumerate(self.decisions)
        }
        return logits | {LEFT + name: torch.tensor(left) for name, left in self._left.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        if {name for name in state if not name.startswith(LEFT)} != {decision.name for decision in self.decisions}:
            raise ValueError("the logits of another search space")
        with torch.no_grad():
            for row, decision in enumerate(self.decisions):
                self.logits[row, : len(decision.choices)] = state[decision.name].to(self.logits.device)
                left = state.get(LEFT + decision.name)
                self._keep(row, range(len(decision.choices)) if left is None else left.tolist())


def _scores(log_p: Tensor, as_probabilities: bool) -> Tensor:
    """What Gumbel noise is added to: log-probabilities or probabilities, -inf in both where there is no choice."""
    return log_p.exp().masked_fill(log_p.isneginf(), -torch.inf) if as_probabilities else log_p


def one_hot(choices: Mapping[str, str], decisions: tuple[Decision, ...]) -> Selection:
    """The selection that runs a genotype in a supernet: a single choice for each decision, without a scale."""
    return {decision.name: SingleChoice(decision.choices.index(choices[decision.name])) for decision in decisions}
