"""Single paths: methods that sample one architecture per step, one choice at each decision, so that it is connected."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from autogan_ray.nets.relaxation import Selection, one_hot
from autogan_ray.nets.supernet import Supernet
from autogan_ray.search.methods.base import ArchitectureMethod, SearchContext, SearchStep
from autogan_ray.spaces.part import Decision

Path = dict[str, str]
"""decision -> choice, of one network: a sampled architecture."""


def connected(net: Supernet, choices: Mapping[str, str]) -> bool:
    """Returns whether choices (of one network, or of both) form a network without dead ends."""
    return not net.space.dead_ends(choices, net.shape.image_size)


def uniform_path(net: Supernet, decisions: tuple[Decision, ...], rng: torch.Generator) -> Path:
    """Draws uniformly from the connected architectures of one network, by rejection."""
    while True:
        drawn = [int(torch.randint(len(decision.choices), (), generator=rng)) for decision in decisions]
        path = {decision.name: decision.choices[index] for decision, index in zip(decisions, drawn, strict=True)}
        if connected(net, path):
            return path


class SinglePath(ArchitectureMethod):
    """Samples one architecture of each network per step: D's step on weights and G's run the same, as in AutoGAN.

    The logits of both networks are set to 0, the uniform distribution that architectures are sampled from. A method
    that keeps its initial logits starts from :class:`~autogan_ray.search.methods.base.ArchitectureMethod` instead.
    """

    def __init__(self, context: SearchContext) -> None:
        super().__init__(context)
        for logits in (self.net.arch_g, self.net.arch_d):
            with torch.no_grad():
                logits.logits.zero_()

    def path_g(self, step: SearchStep) -> Path:
        """Samples G's architecture of a step."""
        return uniform_path(self.net, self.net.arch_g.decisions, step.rng)

    def begin_step(self, step: SearchStep) -> None:
        path_d = uniform_path(self.net, self.net.arch_d.decisions, step.rng)
        self._selection_g = one_hot(self.path_g(step), self.net.arch_g.decisions)
        self._selection_d = one_hot(path_d, self.net.arch_d.decisions)

    def draw_g(self, step: SearchStep) -> Selection:
        return self._selection_g

    def draw_d(self, step: SearchStep) -> Selection:
        return self._selection_d
