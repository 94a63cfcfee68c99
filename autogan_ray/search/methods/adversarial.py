"""Adversarial architecture search (AdversarialNAS, Gao et al., CVPR 2020, algorithm 1).

Each network's logits descend its own hinge loss on the held-out half, at the current weights (first order, as in the
published runs) or, with ``search.unrolled``, at weights one step ahead, through which the gradient goes too
(``unrolled.py``).
"""

from __future__ import annotations

from torch import Tensor

from autogan_ray.search.methods.base import ArchitectureUpdate, SearchStep
from autogan_ray.search.methods.gradient import GradientMethod, descend
from autogan_ray.search.methods.unrolled import unrolled_loss_d, unrolled_loss_g
from autogan_ray.training.steps import discriminator_step, frozen, generator_step, with_selection


class Adversarial(GradientMethod):
    """One step on each network's logits before each step on its weights."""

    def update_d(self, step: SearchStep, real: Tensor, z: Tensor) -> ArchitectureUpdate | None:
        net = self.net
        if self._adam_d is None:
            return None
        if step.search.unrolled:
            loss = unrolled_loss_d(net, step, real, z, self.context.trial.optim.lr_d)
            descend(loss, self._adam_d, net.arch_d)
            return ArchitectureUpdate.of(loss, net.arch_d)
        generator = with_selection(net.generator, step.draw(net.arch_g))
        discriminator = with_selection(net.discriminator, step.select(net.arch_d))
        with frozen(net.discriminator):
            result = discriminator_step(generator, discriminator, self._adam_d, real, z)
        return ArchitectureUpdate.of(result.loss, net.arch_d)

    def update_g(self, step: SearchStep, real: Tensor, z: Tensor) -> ArchitectureUpdate | None:
        net = self.net
        if self._adam_g is None:
            return None
        if step.search.unrolled:
            loss = unrolled_loss_g(net, step, z, self.context.trial.optim.lr_g)
            descend(loss, self._adam_g, net.arch_g)
            return ArchitectureUpdate.of(loss, net.arch_g)
        discriminator = with_selection(net.discriminator, step.draw(net.arch_d))
        generator = with_selection(net.generator, step.select(net.arch_g))
        loss = generator_step(generator, discriminator, self._adam_g, z, [net.discriminator, net.generator])
        return ArchitectureUpdate.of(loss, net.arch_g)


METHOD = Adversarial
