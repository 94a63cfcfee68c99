"""Single paths: one choice at each decision, drawn so that a network comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from autogan_ray.nets.relaxation import ArchitectureParameters, Selection, one_hot
from autogan_ray.nets.supernet import Supernet
from autogan_ray.search.methods.base import ArchitectureMethod, Moment, Surroundings
from autogan_ray.spaces.part import Decision

Path = dict[str, str]
"""decision -> choice, of one network."""


@dataclass(frozen=True)
class Connected:
    """Whether choices (of one network, or of both) form a network."""

    net: Supernet

    def __call__(self, choices: Mapping[str, str]) -> bool:
        return not self.net.space.dead_ends(choices, self.net.shape.image_size)


def uniform_path(
    decisions: tuple[Decision, ...], connected: Callable[[Mapping[str, str]], bool], rng: torch.Generator
) -> Path:
    """Drawn uniformly from the connected ones, by rejection."""
    while True:
        drawn = [int(torch.randint(len(decision.choices), (), generator=rng)) for decision in decisions]
        path = {decision.name: decision.choices[index] for decision, index in zip(decisions, drawn, strict=True)}
        if connected(path):
            return path


class SinglePath(ArchitectureMethod):
    """One architecture of each network a step: D's step on weights and G's run the same, as in AutoGAN.

    The logits of both networks become 0 here, which is what is drawn at first: uniform shares.
    """

    def __init__(self, around: Surroundings) -> None:
        self._connected = Connected(around.net)
        for logits in (around.net.arch_g, around.net.arch_d):
            with torch.no_grad():
                logits.logits.zero_()
        self._drawn: dict[int, Selection] = {}

    def path_g(self, net: Supernet, moment: Moment) -> Path:
        """G's architecture of a step."""
        return uniform_path(net.arch_g.decisions, self._connected, moment.rng)

    def begin(self, net: Supernet, moment: Moment) -> None:
        path_d = uniform_path(net.arch_d.decisions, self._connected, moment.rng)
        self._drawn = {
            id(net.arch_g): one_hot(self.path_g(net, moment), net.arch_g.decisions),
            id(net.arch_d): one_hot(path_d, net.arch_d.decisions),
        }

    def draw(self, logits: ArchitectureParameters, moment: Moment) -> Selection:
        return self._drawn[id(logits)]
