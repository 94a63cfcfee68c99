"""The contract of a search method: which architecture a step runs, how it moves, and the state that takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from autogan_ray.config.sections import SearchConfig
from autogan_ray.config.study import TrialConfig
from autogan_ray.metrics.evaluation import Evaluator
from autogan_ray.nets.relaxation import ArchitectureParameters, Selection
from autogan_ray.nets.supernet import Supernet
from autogan_ray.training.data import ImageData
from autogan_ray.training.ema import Ema


@dataclass(frozen=True)
class Surroundings:
    """What a method may look at when it is made. It moves logits, and never weights.

    Args:
        ema: of G's weights; its batch-norm statistics are scratch space.
        data: the images, both halves.
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
class Batches:
    """More of what a step learns from, gathered when it is asked for; all of it follows from (seed, images shown).

    Args:
        training: real images of the half that weights learn from, those of this step.
        held_out: the n-th further batch of the half that logits learn from.
        latents: fresh z.
    """

    training: Callable[[], Tensor]
    held_out: Callable[[int], Tensor]
    latents: Callable[[], Tensor]


@dataclass(frozen=True)
class Moment:
    """One point of a search: the relaxation in force, the step's own random stream, its further batches."""

    search: SearchConfig
    temperature: float
    rng: torch.Generator
    images_shown: int
    batches: Batches

    def select(self, logits: ArchitectureParameters) -> Selection:
        """A draw of the relaxation, with gradient to the logits."""
        relaxation = self.search.relaxation_in_force
        assert relaxation is not None, f"{self.search.method} relaxes nothing"
        return logits.select(relaxation, self.temperature, self.rng, self.search.logits_as_probabilities)

    def draw(self, logits: ArchitectureParameters) -> Selection:
        """The same without gradient: for steps on weights."""
        with torch.no_grad():
            return self.select(logits)


@dataclass(frozen=True)
class ArchitectureUpdate:
    """What one update tells: loss and norm of the logits' gradient, 0-dim tensors."""

    loss: Tensor
    grad_norm: Tensor


class ArchitectureMethod:
    """A method that moves nothing; each real one, a file of its own listed in ``methods.py``, overrides what it must.

    A step of the loop calls ``begin``; after the warm-up ``update_d``; ``draw`` for D's step on weights; and, in every
    n-th step, after the warm-up ``update_g``, and ``draw`` for G's step on weights; at its end ``told``.
    """

    def begin(self, net: Supernet, moment: Moment) -> None:
        """Before anything else of a step."""

    def draw(self, logits: ArchitectureParameters, moment: Moment) -> Selection:
        """What a step on weights runs in the network of these logits, without gradient to them."""
        return moment.draw(logits)

    def seen(self, real: Tensor) -> Tensor:
        """Real images [B, C, H, W] as D is to see them: a growing G is compared with images as coarse as its own."""
        return real

    def update_d(self, net: Supernet, moment: Moment, real: Tensor, z: Tensor) -> ArchitectureUpdate | None:
        """One step on D's logits from held-out images [B, C, H, W]; None where it moves none."""
        return None

    def update_g(self, net: Supernet, moment: Moment, real: Tensor, z: Tensor) -> ArchitectureUpdate | None:
        """One step on G's logits from held-out images [B, C, H, W]; None where it moves none."""
        return None

    def told(self, loss_d: Tensor, loss_g: Tensor | None) -> bool:
        """The step's losses of both networks' weights, 0-dim (G's: None where it made no step).

        True asks the loop to start both networks' weights, their optimisers and the average anew.
        """
        return False

    def state_dict(self) -> dict[str, Any]:
        """All that outlives a step, but for the logits: tensors and plain values."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """What ``state_dict`` gave."""


class MethodFactory(Protocol):
    def __call__(self, around: Surroundings) -> ArchitectureMethod: ...


def grad_norm(logits: ArchitectureParameters) -> Tensor:
    """Of the latest gradient of a network's logits, 0-dim."""
    grad = logits.logits.grad
    return torch.zeros(()) if grad is None else grad.detach().norm()
