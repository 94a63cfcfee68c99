"""Search by the duality gap (alphaGAN, Tian et al., TPAMI 2021, arXiv 2006.09134).

    gap = max over D' of V(G, D') - min over G' of V(G', D),  V(G, D) = -(D's loss, without a penalty)

is 0 at an equilibrium and above it elsewhere. The worst opponents D' and G' are copies of the current weights that
took a few steps on the held-out half. Their weights, and the architectures they run, count as constants (first order,
as published), so G's logits learn through V(G, D') and D's through V(G', D). The published release searches G alone.

V is published with the hinge loss. There, where D' scores a fake below -1, the loss is flat and G's logits get nothing
from that image: the price of that V, and one more reason for few inner steps. For the other objectives V is minus their
loss of D as well: of the relativistic pairing, E f(D(G(z)) - D(x)) with f(t) = -softplus(t), which D raises and G
lowers (Huang et al., NeurIPS 2024, section 2).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from autogan_ray.nets.gan import Discriminator, Generator
from autogan_ray.nets.relaxation import Selection, SingleChoice
from autogan_ray.search.methods.base import SearchContext, SearchStep
from autogan_ray.search.methods.gradient import GradientMethod
from autogan_ray.training.game import Losses
from autogan_ray.training.steps import adam, discriminator_step, frozen, generator_step, with_selection


class DualityGap(GradientMethod):
    """Both networks' logits descend the same gap.

    The opponents are two copies of the networks, which are overwritten before each use and hold no state.
    """

    def __init__(self, context: SearchContext) -> None:
        super().__init__(context)
        self._worst_g: Generator = copy.deepcopy(self.net.generator)
        self._worst_d: Discriminator = copy.deepcopy(self.net.discriminator)

    def loss_d(self, step: SearchStep, real: Tensor, z: Tensor) -> Tensor:
        return self.gap(step, real, z, step.draw(self.net.arch_g), step.select(self.net.arch_d))

    def loss_g(self, step: SearchStep, real: Tensor, z: Tensor) -> Tensor:
        return self.gap(step, real, z, step.select(self.net.arch_g), step.draw(self.net.arch_d))

    def gap(self, step: SearchStep, real: Tensor, z: Tensor, chosen_g: Selection, chosen_d: Selection) -> Tensor:
        """Returns the gap of the networks at two selections, on real images [B, C, H, W] and z [B, L].

        It is 0-dim, with gradient to the logits behind the selections.
        """
        net, constant_g, constant_d = self.net, constant(chosen_g), constant(chosen_d)
        self._train_opponents(step, constant_g, constant_d)
        with frozen(net.generator, net.discriminator, self._worst_g, self._worst_d):
            worst_d = value(step.losses, self._worst_d, constant_d, real, net.generator(z, chosen_g))
            with torch.no_grad():
                worst_fake = self._worst_g(z, constant_g)
            worst_g = value(step.losses, net.discriminator, chosen_d, real, worst_fake)
        return worst_d - worst_g

    def _train_opponents(self, step: SearchStep, chosen_g: Selection, chosen_d: Selection) -> None:
        """Trains D' against the present G, and G' against the present D, with a fresh Adam each, as published.

        Its rate and betas are those that the network's weights have at this step.
        Each step of D' takes the penalty: ``penalty_every`` counts the steps of D alone.
        """
        net, rates, losses = self.net, step.rates, step.losses.steady
        clip = self.context.trial.optim.clip_grad_norm
        adam_g = _restart(self._worst_g, net.generator, rates.lr_g, rates.betas, clip)
        adam_d = _restart(self._worst_d, net.discriminator, rates.lr_d, rates.betas, clip)
        generator, discriminator = with_selection(net.generator, chosen_g), with_selection(net.discriminator, chosen_d)
        worst_g, worst_d = with_selection(self._worst_g, chosen_g), with_selection(self._worst_d, chosen_d)
        for index in range(step.search.gap_inner_steps):
            real, z = step.held_out_images(index), step.latents()
            discriminator_step(generator, worst_d, adam_d, real, z, losses)
            z, on_real = step.latents_g(), losses.scores_of_real(discriminator, real)
            generator_step(worst_g, discriminator, adam_g, z, [net.discriminator], losses, on_real)


def value(losses: Losses, network: nn.Module, chosen: Selection, real: Tensor, fake: Tensor) -> Tensor:
    """Returns V(G, D), 0-dim, at most 0: minus the loss of D on real and fake images [B, C, H, W]."""
    return -losses.of_d(with_selection(network, chosen), real, fake, penalised=False).total


def constant(chosen: Selection) -> Selection:
    """Returns the same architecture weights without gradient to the logits."""
    return {
        name: SingleChoice(weights.index) if isinstance(weights, SingleChoice) else weights.detach()
        for name, weights in chosen.items()
    }


@torch.no_grad()
def _restart(
    copied: nn.Module, live: nn.Module, lr: float, betas: tuple[float, float], clip_grad_norm: float | None
) -> torch.optim.Adam:
    """Copies the live network's weights and buffers, and returns a fresh optimiser of the copy."""
    torch._foreach_copy_([*copied.parameters()], [*live.parameters()])
    for buffer, current in zip(copied.buffers(), live.buffers(), strict=True):
        buffer.copy_(current)
    return adam([*copied.parameters()], lr, betas, clip_grad_norm=clip_grad_norm)


METHOD = DualityGap
