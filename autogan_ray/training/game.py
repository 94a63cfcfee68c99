"""What the weights of both networks descend in a step: an objective, a gradient penalty, and what D sees of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from autogan_ray.config.training import GameConfig
from autogan_ray.nets.processes import ALONE, Processes
from autogan_ray.training.augmentation import augmentation, mirrored
from autogan_ray.training.objectives.base import Objective
from autogan_ray.training.objectives.registry import objective_named
from autogan_ray.training.schedules import scheduled

Network = Callable[[Tensor], Tensor]
"""A generator (z -> images) or a discriminator (images -> scores [B]) as a function of its input alone."""


@dataclass(frozen=True)
class DiscriminatorLoss:
    """Loss of D and its mean scores of real images and fakes: 0-dim tensors on the device.

    To read them waits for the device, so that is left to the caller.

    Args:
        total: what D's weights descend, with gradient.
        loss: the objective's part of it, without.
    """

    total: Tensor
    loss: Tensor
    real: Tensor
    fake: Tensor


@dataclass(frozen=True)
class Losses:
    """The losses of one step.

    Args:
        objective: of the run.
        penalty: weight of the mean squared norm of the gradient of D's scores; 0 takes no penalty in this step.
        seen: what D sees of images [B, C, H, W], real or not; None shows them as they are.
        steady_penalty: weight of the penalty in a game that takes it at every step of D; None where ``penalty`` is it.
    """

    objective: Objective
    penalty: float = 0.0
    seen: Callable[[Tensor], Tensor] | None = None
    steady_penalty: float | None = None

    @property
    def steady(self) -> Losses:
        """The same losses with the penalty taken at every step, as for steps that ``penalty_every`` does not count."""
        return self if self.steady_penalty is None else replace(self, penalty=self.steady_penalty)

    def of_d(self, discriminator: Network, real: Tensor, fake: Tensor, penalised: bool = True) -> DiscriminatorLoss:
        """Returns D's loss on real images and fakes [B, C, H, W].

        They go through D in one pass, so with one selection.

        Args:
            penalised: whether this step's penalty is added: gamma / 2 times the mean over real images, and where the
                objective says so also that over fakes, of the squared norm of an image's gradient.
        """
        images = torch.cat([real, fake])
        weight = self.penalty if penalised else 0.0
        if weight:
            images = images.detach().requires_grad_()
        scores = discriminator(images if self.seen is None else self.seen(images))
        on_real, on_fake = scores[: len(real)], scores[len(real) :]
        loss = total = self.objective.loss_d(on_real, on_fake)
        if weight:
            squares = squared_gradients(scores, images)
            total = loss + weight * squares[: len(real)].mean()
            if self.objective.penalises_fakes:
                total = total + weight * squares[len(real) :].mean()
        return DiscriminatorLoss(total, loss.detach(), on_real.detach().mean(), on_fake.detach().mean())

    def of_g(self, discriminator: Network, fake: Tensor, on_real: Tensor | None) -> Tensor:
        """Returns G's loss, 0-dim, on images [B, C, H, W] that it made.

        Args:
            on_real: what :meth:`scores_of_real` returned.
        """
        return self.objective.loss_g(discriminator(fake if self.seen is None else self.seen(fake)), on_real)

    @torch.no_grad()
    def scores_of_real(self, discriminator: Network, real: Tensor) -> Tensor | None:
        """Returns D's scores [B] of real images, without gradient, where G's loss compares fakes with them."""
        if not self.objective.compares:
            return None
        return discriminator(real if self.seen is None else self.seen(real))


def squared_gradients(scores: Tensor, images: Tensor) -> Tensor:
    """Returns the squared norm [B] of the gradient of each score [B] with respect to its image, differentiable.

    D judges each image by itself, so the sum of all scores has all these gradients at once. (One with batch norms does
    not, and is refused where a penalty is taken: :mod:`autogan_ray.config.penalty`.)
    """
    slopes = None
    if scores.requires_grad:  # a sampled architecture that is all "none" depends on nothing
        (slopes,) = torch.autograd.grad(scores.sum(), images, create_graph=True, allow_unused=True)
    return torch.zeros_like(scores) if slopes is None else slopes.square().sum(dim=(1, 2, 3))


class Game:
    """The game of one run: its losses at each step.

    Args:
        config: section ``[search]`` or ``[retrain]``.
        total_steps: of D in the whole run.
        processes: that play it together.
    """

    def __init__(self, config: GameConfig, total_steps: int, processes: Processes = ALONE) -> None:
        self._processes = processes
        self._objective, self._flip, self._augmentations = (
            objective_named(config.objective),
            config.flip,
            config.augmentations,
        )
        start, end = config.gamma_in_force, config.gamma_end
        self._gamma = start, start if end is None else end
        self._schedule, self._every, self._total_steps = config.gamma_schedule, config.penalty_every, total_steps

    def losses(self, step_d: int, rng: torch.Generator) -> Losses:
        """Returns the losses of a step.

        Args:
            step_d: steps that D has made.
            rng: the step's random stream, from which augmentations are drawn.
        """
        seen = augmentation(self._augmentations, rng, self._processes) if self._augmentations else None
        steady = self._penalty(step_d)
        return Losses(self._objective, 0.0 if step_d % self._every else steady * self._every, seen, steady)

    def _penalty(self, step_d: int) -> float:
        if not any(self._gamma):
            return 0.0
        return scheduled(self._schedule, *self._gamma, step_d / self._total_steps) / 2

    def shown(self, real: Tensor, rng: torch.Generator) -> Tensor:
        """Returns real images [B, C, H, W] as the run shows them: half of them mirrored with ``flip``."""
        return mirrored(real, rng, self._processes) if self._flip else real


HINGE = Losses(objective_named("hinge"))
"""The hinge loss alone."""
