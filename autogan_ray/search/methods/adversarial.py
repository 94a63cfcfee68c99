"""Adversarial architecture search (AdversarialNAS, Gao et al., CVPR 2020, algorithm 1).

Each network's logits descend its own hinge loss on the held-out half, at the current weights (first order, as in the
published runs) or, with ``search.unrolled``, at weights one step ahead, through which the gradient goes too
(``unrolled.py``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from autogan_ray.nets.supernet import Supernet
from autogan_ray.search.methods.base import ArchitectureUpdate, Moment, Surroundings
from autogan_ray.search.methods.gradient import GradientMethod, descend, update_of
from autogan_ray.search.methods.unrolled import unrolled_loss_d, unrolled_loss_g
from autogan_ray.training.steps import discriminator_step, frozen, generator_step


class Adversarial(GradientMethod):
    """One step on each network's logits before each step on its weights."""

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._unrolled = around.trial.search.unrolled
        self._lr_g, self._lr_d = around.trial.optim.lr_g, around.trial.optim.lr_d

    def update_d(self, net: Supernet, moment: Moment, real: Tensor, z: Tensor) -> ArchitectureUpdate | None:
        if self._adam_d is None:
            return None
        if self._unrolled:
            loss = unrolled_loss_d(net, moment, real, z, self._lr_d)
            descend(loss, self._adam_d, net.arch_d)
            return update_of(loss, net.arch_d)
        with torch.no_grad():
            fake = net.generator(z, moment.draw(net.arch_g))
        chosen = moment.select(net.arch_d)
        with frozen(net.discriminator):
            result = discriminator_step(lambda x: net.discriminator(x, chosen), self._adam_d, real, fake)
        return update_of(result.loss, net.arch_d)

    def update_g(self, net: Supernet, moment: Moment, real: Tensor, z: Tensor) -> ArchitectureUpdate | None:
        if self._adam_g is None:
            return None
        if self._unrolled:
            loss = unrolled_loss_g(net, moment, z, self._lr_g)
            descend(loss, self._adam_g, net.arch_g)
            return update_of(loss, net.arch_g)
        chosen_d, chosen_g = moment.draw(net.arch_d), moment.select(net.arch_g)
        with frozen(net.discriminator, net.generator):
            loss = generator_step(
                lambda x: net.discriminator(x, chosen_d), lambda z: net.generator(z, chosen_g), self._adam_g, z
            )
        return update_of(loss, net.arch_g)
