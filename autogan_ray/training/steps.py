"""One step of D and one step of G, shared by the search (weights and logits alike) and by retraining.

What is updated is decided by the optimiser that is handed in; what is not to be touched is frozen around the step, so
no gradient is computed for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version
from torch.optim import Adam, Optimizer

from autogan_ray.training.losses import hinge_d, hinge_g

Images = Tensor
Scores = Callable[[Images], Tensor]


@dataclass(frozen=True)
class DiscriminatorLoss:
    """All three are 0-dim tensors on the device: reading them waits for it, so that is left to the caller."""

    loss: Tensor
    real: Tensor
    fake: Tensor


def discriminator_step(score: Scores, optimizer: Optimizer, real: Images, fake: Images) -> DiscriminatorLoss:
    """One hinge step on D. Real and fake go through D in one pass, so with one draw of its architecture."""
    scores = score(torch.cat([real, fake]))
    on_real, on_fake = scores[: len(real)], scores[len(real) :]
    loss = hinge_d(on_real, on_fake)
    _descend(loss, optimizer)
    return DiscriminatorLoss(loss.detach(), on_real.detach().mean(), on_fake.detach().mean())


def generator_step(score: Scores, make: Callable[[Tensor], Images], optimizer: Optimizer, z: Tensor) -> Tensor:
    """One step on G; returns the loss, 0-dim, detached."""
    loss = hinge_g(score(make(z)))
    _descend(loss, optimizer)
    return loss.detach()


def _descend(loss: Tensor, optimizer: Optimizer) -> None:
    optimizer.zero_grad(set_to_none=True)
    if loss.requires_grad:  # a path of a supernet that is all "none" depends on nothing
        loss.backward()
        optimizer.step()


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """No gradients for these networks' weights inside."""
    weights = [weight for network in networks for weight in _weights(network)]
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


_KNOWN: WeakKeyDictionary[nn.Module, list[nn.Parameter]] = WeakKeyDictionary()


def _weights(network: nn.Module) -> list[nn.Parameter]:
    """Looked for once, as an optimiser does: in the thousand modules of a supernet that takes a tenth of a step."""
    if network not in _KNOWN:
        _KNOWN[network] = list(network.parameters())
    return _KNOWN[network]


def adam(
    parameters: list[nn.Parameter], lr: float, betas: tuple[float, float], weight_decay: float = 0.0
) -> Adam | None:
    """Adam, one kernel for all weights; None where there is nothing to optimise (a fixed network has no logits)."""
    wanted = [parameter for parameter in parameters if parameter.numel() > 0]
    if not wanted:
        return None
    optimizer = Adam(wanted, lr=lr, betas=betas, weight_decay=weight_decay, fused=True)
    # torch's fused kernel writes without counting it, and who keeps what it made of a weight could not tell.
    optimizer.register_step_post_hook(lambda *_: increment_version(wanted))
    return optimizer
