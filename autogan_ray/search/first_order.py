"""First-order adversarial architecture search (AdversarialNAS, Gao et al., CVPR 2020, algorithm 1).

Each network's logits descend its own hinge loss at the current weights; second-order terms are left out, as in the
published runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from autogan_ray.config import TrialConfig
from autogan_ray.nets.relaxation import ArchitectureParameters
from autogan_ray.nets.supernet import Supernet
from autogan_ray.search.method import ArchitectureUpdate, Moment
from autogan_ray.training.steps import adam, discriminator_step, frozen, generator_step


class FirstOrder:
    """Two Adam optimisers, one for each network's logits."""

    def __init__(self, net: Supernet, trial: TrialConfig) -> None:
        optim = trial.optim

        def optimiser(logits: ArchitectureParameters, lr: float) -> torch.optim.Adam | None:
            return adam([logits.logits], lr, optim.betas_arch, optim.weight_decay_arch) if len(logits) else None

        self._adam_g = optimiser(net.arch_g, optim.lr_arch_g)
        self._adam_d = optimiser(net.arch_d, optim.lr_arch_d) if trial.search.search_d else None

    def update_d(self, net: Supernet, moment: Moment, real: Tensor, z: Tensor) -> ArchitectureUpdate | None:
        if self._adam_d is None:
            return None
        with torch.no_grad():
            fake = net.generator(z, moment.draw(net.arch_g))
        chosen = moment.select(net.arch_d)
        with frozen(net.discriminator):
            result = discriminator_step(lambda x: net.discriminator(x, chosen), self._adam_d, real, fake)
        return ArchitectureUpdate(result.loss, _grad_norm(net.arch_d))

    def update_g(self, net: Supernet, moment: Moment, z: Tensor) -> ArchitectureUpdate | None:
        if self._adam_g is None:
            return None
        chosen_d, chosen_g = moment.draw(net.arch_d), moment.select(net.arch_g)
        with frozen(net.discriminator, net.generator):
            loss = generator_step(
                lambda x: net.discriminator(x, chosen_d), lambda z: net.generator(z, chosen_g), self._adam_g, z
            )
        return ArchitectureUpdate(loss, _grad_norm(net.arch_g))

    def state_dict(self) -> dict[str, Any]:
        return {
            "adam_g": self._adam_g.state_dict() if self._adam_g else None,
            "adam_d": self._adam_d.state_dict() if self._adam_d else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for optimiser, saved in ((self._adam_g, state["adam_g"]), (self._adam_d, state["adam_d"])):
            if optimiser is not None:
                optimiser.load_state_dict(saved)


def _grad_norm(logits: ArchitectureParameters) -> Tensor:
    grad = logits.logits.grad
    return torch.zeros(()) if grad is None else grad.detach().norm()
