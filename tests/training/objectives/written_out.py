"""The losses of all objectives written out once more, for one image at a time, with nothing of the package."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def loss_d(objective: str, real: Tensor, fake: Tensor) -> Tensor:
    """D's loss of as many scores of real images as of fakes."""
    if objective == "hinge":
        return (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean()
    if objective == "non_saturating":
        return -torch.log(torch.sigmoid(real)).mean() - torch.log(1 - torch.sigmoid(fake)).mean()
    return torch.log(1 + torch.exp(fake - real)).mean()


def loss_g(objective: str, real: Tensor, fake: Tensor) -> Tensor:
    if objective == "hinge":
        return -fake.mean()
    if objective == "non_saturating":
        return -torch.log(torch.sigmoid(fake)).mean()
    return torch.log(1 + torch.exp(real - fake)).mean()


def penalty(discriminator: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Mean over the images of the squared norm of the gradient of D's score of that image alone."""
    squares = []
    for image in images.detach():
        leaf = image.unsqueeze(0).requires_grad_()
        (slope,) = torch.autograd.grad(discriminator(leaf).sum(), leaf, create_graph=True)
        squares.append((slope * slope).sum())
    return torch.stack(squares).mean()


def whole_loss_d(
    objective: str, gamma: float, discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor
) -> Tensor:
    """D's loss with its penalties: R1, and R2 too for the relativistic pairing (R3GAN, section 2)."""
    loss = loss_d(objective, discriminator(real), discriminator(fake))
    if gamma:
        loss = loss + gamma / 2 * penalty(discriminator, real)
        if objective == "relativistic":
            loss = loss + gamma / 2 * penalty(discriminator, fake)
    return loss
