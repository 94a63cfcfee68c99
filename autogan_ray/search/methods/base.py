"""The contract of a search method: which architecture a step runs, how it moves, and the state that this takes.

To add a method, write ``search/methods/<name>.py`` with a subclass of :class:`ArchitectureMethod` named ``METHOD``, and
give ``<name>`` its row in the configuration's table of methods. A method that samples architectures uniformly starts
from :class:`~autogan_ray.search.methods.single_path.SinglePath`; one that samples them by the logits starts from here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autogan_ray.config.sections import SearchConfig
from autogan_ray.config.study import TrialConfig
from autogan_ray.metrics.evaluation import Evaluator
from autogan_ray.nets.relaxation import ArchitectureParameters, Selection
from autogan_ray.nets.supernet import Supernet
from autogan_ray.training.data import ImageData
from autogan_ray.training.game import Losses
from autogan_ray.training.schedules import Rates
from autogan_ray.training.steps import Ema


@dataclass(frozen=True)
class SearchContext:
    """What a method may read during a search.

    Args:
        net: the supernet; a method moves its architecture parameters, and never its weights.
        trial: the resolved configuration.
        ema: of G's weights; its batch-norm statistics are scratch space.
        data: the images.
        evaluator: scores generators, for methods that learn from scores.
        total_steps: of D, in the whole search.
    """

    net: Supernet
    trial: TrialConfig
    ema: Ema
    data: ImageData
    evaluator: Evaluator
    total_steps: int


@dataclass(frozen=True)
class SearchStep:
    """One step of a search: its relaxation, its random stream and its batches, all functions of (seed, images shown).

    Args:
        search: section ``[search]`` of the trial.
        relaxation: in force; None where the method runs single paths.
        temperature: of the Gumbel relaxations at this step.
        rng: the step's own random stream.
        images_shown: real images shown to D before the step.
        losses: of weights, and of logits by the same objective.
        rates: of weights.
        training_images: returns the step's real images for weights.
        held_out_images: returns the n-th further batch of images for logits.
        latents: draws fresh z from ``rng``, as many as D sees real images.
        latents_g: draws fresh z from ``rng``, as many as G learns from in a step.
    """

    search: SearchConfig
    relaxation: str | None
    temperature: float
    rng: torch.Generator
    images_shown: int
    losses: Losses
    rates: Rates
    training_images: Callable[[], Tensor]
    held_out_images: Callable[[int], Tensor]
    latents: Callable[[], Tensor]
    latents_g: Callable[[], Tensor]

    def select(self, logits: ArchitectureParameters) -> Selection:
        """Draws architecture weights from the relaxation, with gradient to the logits."""
        assert self.relaxation is not None, f"{self.search.method} relaxes nothing"
        return logits.select(self.relaxation, self.temperature, self.rng, self.search.logits_as_probabilities)

    def draw(self, logits: ArchitectureParameters) -> Selection:
        """Draws architecture weights without gradient, for steps on weights."""
        with torch.no_grad():
            return self.select(logits)


@dataclass(frozen=True)
class ArchitectureUpdate:
    """The loss of an architecture and the norm of its gradient at one update, 0-dim tensors."""

    loss: Tensor
    grad_norm: Tensor

    @classmethod
    def of(cls, loss: Tensor, logits: ArchitectureParameters) -> ArchitectureUpdate:
        """Reads the norm from the latest gradient of a network's logits."""
        grad = logits.logits.grad
        return cls(loss.detach(), torch.zeros(()) if grad is None else grad.detach().norm())


class ArchitectureMethod:
    """A method that moves nothing; each real method overrides what it must.

    A method without a relaxation must override ``draw_g`` and ``draw_d``, which here relax the logits. Both may be
    called twice in a step: a method that runs one sampled architecture throughout a step samples it in ``begin_step``.
    Whatever depends on the logits is computed anew in each step, as shrinking removes choices between steps.

    A step of the search calls ``begin_step``; after the warm-up ``update_d``; ``draw_g`` and ``draw_d`` for D's step on
    weights; at every n-th step also, after the warm-up, ``update_g``, then ``draw_d`` and ``draw_g`` for G's step on
    weights; at its end ``end_step``.
    """

    def __init__(self, context: SearchContext) -> None:
        self.context, self.net = context, context.net

    def begin_step(self, step: SearchStep) -> None:
        """Is called before anything else of a step."""

    def draw_g(self, step: SearchStep) -> Selection:
        """Returns what a step on weights runs in G, without gradient to the logits."""
        return step.draw(self.net.arch_g)

    def draw_d(self, step: SearchStep) -> Selection:
        """Returns what a step on weights runs in D, without gradient to the logits."""
        return step.draw(self.net.arch_d)

    def as_seen_by_d(self, real: Tensor) -> Tensor:
        """Returns real images [B, C, H, W] as D sees them: a growing G is compared with images as coarse as its own."""
        return real

    def update_d(self, step: SearchStep, real: Tensor, z: Tensor) -> ArchitectureUpdate | None:
        """Makes one step on D's logits from held-out images [B, C, H, W]; returns None where it moves none."""
        return None

    def update_g(self, step: SearchStep, real: Tensor, z: Tensor) -> ArchitectureUpdate | None:
        """Makes one step on G's logits from held-out images [B, C, H, W]; returns None where it moves none."""
        return None

    def end_step(self, loss_d: Tensor, loss_g: Tensor | None) -> bool:
        """Is called with the losses of both networks' weights, 0-dim; G's is None where G made no step.

        Returns whether both networks' weights, their optimisers and the average are to start anew.
        """
        return False

    def state_dict(self) -> dict[str, Any]:
        """Returns all that outlives a step, except the logits: tensors and plain values."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what ``state_dict`` returned."""
