"""Search by the duality gap (alphaGAN, Tian et al., TPAMI 2021, arXiv 2006.09134).

    gap = max over D' of V(G, D') - min over G' of V(G', D),  V(G, D) = -(hinge loss of D)

is 0 at an equilibrium and above it elsewhere. The worst opponents D' and G' are copies of the current weights that
took a few steps on the held-out half. Their weights, and the architectures they run, count as constants (first order,
as published), so G's logits learn through V(G, D') and D's through V(G', D). The published release searches G alone.

Where D' scores a fake below -1 the hinge is flat and G's logits get nothing from that image: the price of the published
V, and one more reason for few inner steps.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from autogan_ray.nets.gan import Discriminator, Generator
from autogan_ray.nets.relaxation import Selection, SingleChoice
from autogan_ray.nets.supernet import Supernet
from autogan_ray.search.methods.base import ArchitectureUpdate, Moment, Surroundings
from autogan_ray.search.methods.gradient import GradientMethod, descend, update_of
from autogan_ray.training.losses import hinge_d
from autogan_ray.training.steps import adam, discriminator_step, frozen, generator_step


class DualityGap(GradientMethod):
    """Both networks' logits descend the same gap.

    The opponents live in two copies of the networks, which are overwritten before each use and hold no state.
    """

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._optim, self._steps = around.trial.optim, around.trial.search.gap_inner_steps
        self._worst_g: Generator = copy.deepcopy(around.net.generator)
        self._worst_d: Discriminator = copy.deepcopy(around.net.discriminator)

    def update_d(self, net: Supernet, moment: Moment, real: Tensor, z: Tensor) -> ArchitectureUpdate | None:
        if self._adam_d is None:
            return None
        gap = self.gap(net, moment, real, z, moment.draw(net.arch_g), moment.select(net.arch_d))
        descend(gap, self._adam_d, net.arch_d)
        return update_of(gap, net.arch_d)

    def update_g(self, net: Supernet, moment: Moment, real: Tensor, z: Tensor) -> ArchitectureUpdate | None:
        if self._adam_g is None:
            return None
        gap = self.gap(net, moment, real, z, moment.select(net.arch_g), moment.draw(net.arch_d))
        descend(gap, self._adam_g, net.arch_g)
        return update_of(gap, net.arch_g)

    def gap(
        self, net: Supernet, moment: Moment, real: Tensor, z: Tensor, chosen_g: Selection, chosen_d: Selection
    ) -> Tensor:
        """The gap of the networks that run ``chosen_g`` and ``chosen_d``, on real images [B, C, H, W] and z [B, L].

        0-dim, with gradient to the logits behind the two selections.
        """
        still_g, still_d = constant(chosen_g), constant(chosen_d)
        self._train_opponents(net, moment, still_g, still_d)
        with frozen(net.generator, net.discriminator, self._worst_g, self._worst_d):
            worst_d = value(self._worst_d, still_d, real, net.generator(z, chosen_g))
            with torch.no_grad():
                worst_fake = self._worst_g(z, still_g)
            worst_g = value(net.discriminator, chosen_d, real, worst_fake)
        return worst_d - worst_g

    def _train_opponents(self, net: Supernet, moment: Moment, still_g: Selection, still_d: Selection) -> None:
        """D' learns against the G that is, G' against the D that is; fresh Adam each, as published."""
        optim = self._optim
        adam_g = _restart(self._worst_g, net.generator, optim.lr_g, optim.betas)
        adam_d = _restart(self._worst_d, net.discriminator, optim.lr_d, optim.betas)
        with frozen(net.discriminator):
            for step in range(self._steps):
                with torch.no_grad():
                    fake = net.generator(moment.batches.latents(), still_g)
                held_out = moment.batches.held_out(step)
                discriminator_step(lambda x: self._worst_d(x, still_d), adam_d, held_out, fake)
                generator_step(
                    lambda x: net.discriminator(x, still_d),
                    lambda z: self._worst_g(z, still_g),
                    adam_g,
                    moment.batches.latents(),
                )


def value(network: nn.Module, chosen: Selection, real: Tensor, fake: Tensor) -> Tensor:
    """V(G, D), 0-dim: what D has to gain from real [B, C, H, W] against fake images; at most 0."""
    scores = network(torch.cat([real, fake]), chosen)
    return -hinge_d(scores[: len(real)], scores[len(real) :])


def constant(chosen: Selection) -> Selection:
    """The same weights of choices, without gradient to the logits."""
    return {
        name: SingleChoice(weights.index) if isinstance(weights, SingleChoice) else weights.detach()
        for name, weights in chosen.items()
    }


@torch.no_grad()
def _restart(copied: nn.Module, live: nn.Module, lr: float, betas: tuple[float, float]) -> torch.optim.Adam:
    """Weights and buffers as they are now, and a fresh optimiser."""
    torch._foreach_copy_([*copied.parameters()], [*live.parameters()])
    for mine, current in zip(copied.buffers(), live.buffers(), strict=True):
        mine.copy_(current)
    found = adam([*copied.parameters()], lr, betas)
    assert found is not None
    return found
