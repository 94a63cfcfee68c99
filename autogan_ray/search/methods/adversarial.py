"""Adversarial architecture search (AdversarialNAS, Gao et al., CVPR 2020, algorithm 1).

Each network's logits descend its own loss on held-out images, at the current weights (first order, as in the published
runs, which take the hinge loss) or, with ``search.unrolled``, at weights one step ahead, through which the gradient
goes too (``unrolled.py``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from autogan_ray.search.methods.base import SearchStep
from autogan_ray.search.methods.gradient import GradientMethod
from autogan_ray.search.methods.unrolled import unrolled_loss_d, unrolled_loss_g
from autogan_ray.training.steps import frozen, with_selection


class Adversarial(GradientMethod):
    """One step on each network's logits before each step on its weights."""

    def loss_d(self, step: SearchStep, real: Tensor, z: Tensor) -> Tensor:
        net = self.net
        if step.search.unrolled:
            return unrolled_loss_d(net, step, real, z, step.rates.lr_d)
        chosen_g, chosen_d = step.draw(net.arch_g), step.select(net.arch_d)
        with torch.no_grad():
            fake = net.generator(z, chosen_g)
        with frozen(net.discriminator):
            return step.losses.of_d(with_selection(net.discriminator, chosen_d), real, fake, penalised=False).total

    def loss_g(self, step: SearchStep, real: Tensor, z: Tensor) -> Tensor:
        net = self.net
        if step.search.unrolled:
            return unrolled_loss_g(net, step, real, z, step.rates.lr_g)
        chosen_d, chosen_g = step.draw(net.arch_d), step.select(net.arch_g)
        discriminator = with_selection(net.discriminator, chosen_d)
        with frozen(net.discriminator, net.generator):
            on_real = step.losses.scores_of_real(discriminator, real)
            return step.losses.of_g(discriminator, net.generator(z, chosen_g), on_real)


METHOD = Adversarial
