"""What the methods that follow a gradient have in common: Adam for the logits of each network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from autogan_ray.nets.relaxation import ArchitectureParameters
from autogan_ray.search.methods.base import ArchitectureMethod, ArchitectureUpdate, SearchContext, SearchStep
from autogan_ray.training.steps import adam


class GradientMethod(ArchitectureMethod):
    """A method of gradients. An optimiser is None where a network has no decisions, or where D is not searched."""

    def __init__(self, context: SearchContext) -> None:
        super().__init__(context)
        optim = context.trial.optim

        def optimiser(logits: ArchitectureParameters, lr: float) -> torch.optim.Adam | None:
            return adam([logits.logits], lr, optim.betas_arch, optim.weight_decay_arch) if len(logits) else None

        self._adam_g = optimiser(self.net.arch_g, optim.lr_arch_g)
        self._adam_d = optimiser(self.net.arch_d, optim.lr_arch_d) if context.trial.search.search_d else None

    def loss_d(self, step: SearchStep, real: Tensor, z: Tensor) -> Tensor:
        """Returns what D's logits descend, 0-dim, from held-out images [B, C, H, W] and z [B, L]."""
        raise NotImplementedError

    def loss_g(self, step: SearchStep, real: Tensor, z: Tensor) -> Tensor:
        """Returns what G's logits descend, as :meth:`loss_d`."""
        raise NotImplementedError

    def update_d(self, step: SearchStep, real: Tensor, z: Tensor) -> ArchitectureUpdate | None:
        adam_d = self._adam_d
        return None if adam_d is None else descend(self.loss_d(step, real, z), adam_d, self.net.arch_d)

    def update_g(self, step: SearchStep, real: Tensor, z: Tensor) -> ArchitectureUpdate | None:
        adam_g = self._adam_g
        return None if adam_g is None else descend(self.loss_g(step, real, z), adam_g, self.net.arch_g)

    def state_dict(self) -> dict[str, Any]:
        return {
            "adam_g": self._adam_g.state_dict() if self._adam_g else None,
            "adam_d": self._adam_d.state_dict() if self._adam_d else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for optimiser, saved in ((self._adam_g, state["adam_g"]), (self._adam_d, state["adam_d"])):
            if optimiser is not None:
                optimiser.load_state_dict(saved)


def descend(loss: Tensor, optimizer: torch.optim.Adam, logits: ArchitectureParameters) -> ArchitectureUpdate:
    """Makes one step on these logits alone: no other tensor gets a gradient."""
    optimizer.zero_grad(set_to_none=True)
    if loss.requires_grad:  # a sampled architecture that is all "none" depends on nothing
        (logits.logits.grad,) = torch.autograd.grad(loss, [logits.logits], allow_unused=True)
        if logits.logits.grad is not None:
            optimizer.step()
    return ArchitectureUpdate.of(loss, logits)
