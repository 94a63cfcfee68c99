"""Second order: a network's loss on held-out images at weights one virtual step ahead (DARTS, Liu et al., 2019).

    L_val(w - xi * grad_w L_train(w, a), a)                                                          (equations 6, 7)

is differentiated with respect to the logits a along both ways, exactly, by automatic differentiation twice, and not by
the finite differences of equation 8: these need a step size of their own, and lose their digits in float32.

The virtual step is plain gradient descent; xi is the learning rate of the network's weights, as DARTS sets it, for it
is the step the weights are about to take. (That they take it with Adam, which scales it, DARTS ignores as well; clipped
gradients are ignored here in the same way.) Only the network whose logits move steps ahead, on its own loss; its
opponent stays as it is. One draw of each network's architecture serves both losses.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call

from autogan_ray.nets.relaxation import Selection
from autogan_ray.nets.supernet import Supernet
from autogan_ray.search.methods.base import SearchStep
from autogan_ray.training.steps import frozen, with_selection

Weights = dict[str, Tensor]
Call = Callable[[Weights, Tensor], Tensor]


def unrolled_loss_d(net: Supernet, step: SearchStep, real: Tensor, z: Tensor, xi: float) -> Tensor:
    """Returns D's loss on held-out images [B, C, H, W] after its virtual step, which descends the penalty too.

    Each virtual step takes the penalty: ``penalty_every`` counts the steps of D alone. The loss has gradient to D's
    logits alone. ``xi`` is the length of the virtual step.
    """
    with torch.no_grad():
        chosen_g = step.draw(net.arch_g)
        fake, train_fake = net.generator(z, chosen_g), net.generator(step.latents(), chosen_g)
    call = _called(net.discriminator, step.select(net.arch_d))

    def training_loss(weights: Weights) -> Tensor:
        return step.losses.steady.of_d(partial(call, weights), train_real, train_fake).total

    train_real = step.training_images()
    ahead = stepped(net.discriminator, training_loss, xi)
    return step.losses.of_d(partial(call, ahead), real, fake, penalised=False).total


def unrolled_loss_g(net: Supernet, step: SearchStep, real: Tensor, z: Tensor, xi: float) -> Tensor:
    """Returns G's loss of images from z, beside held-out images, after its virtual step on images of other z.

    It has gradient to G's logits alone. ``xi`` is the length of the virtual step.
    """
    chosen_d, train_z = step.draw(net.arch_d), step.latents_g()
    call, discriminator = _called(net.generator, step.select(net.arch_g)), with_selection(net.discriminator, chosen_d)

    def loss(weights: Weights, z: Tensor, beside: Tensor | None) -> Tensor:
        return step.losses.of_g(discriminator, call(weights, z), beside)

    with frozen(net.discriminator):
        on_real, train_on_real = (
            step.losses.scores_of_real(discriminator, images()) for images in (lambda: real, step.training_images)
        )
        ahead = stepped(net.generator, lambda weights: loss(weights, train_z, train_on_real), xi)
        return loss(ahead, z, on_real)


def stepped(network: nn.Module, loss: Callable[[Weights], Tensor], xi: float) -> Weights:
    """Returns the weights after one step of gradient descent on ``loss``, as functions of all that the loss depends on.

    Weights that the loss does not depend on (those of operations that did not run) stay as they are.
    """
    weights = {name: weight.detach().requires_grad_() for name, weight in network.named_parameters()}
    value = loss(weights)
    if not value.requires_grad:
        return weights
    slopes = torch.autograd.grad(value, [*weights.values()], create_graph=True, allow_unused=True)
    return {
        name: weight if slope is None else weight - xi * slope
        for (name, weight), slope in zip(weights.items(), slopes, strict=True)
    }


def _called(network: nn.Module, chosen: Selection) -> Call:
    return lambda weights, x: functional_call(network, weights, (x, chosen))
