"""The training step of a GAN, shared by the search (weights and logits alike), by its methods and by retraining.

The optimiser decides what is updated. Weights that are not to move are frozen around the step, so that no gradient is
computed for them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version
from torch.nn.utils import clip_grad_norm_
from torch.optim import Adam, Optimizer

from autogan_ray.nets.processes import ALONE, Processes
from autogan_ray.nets.relaxation import Selection
from autogan_ray.training.game import HINGE, DiscriminatorLoss, Losses, Network


def discriminator_step(
    generator: Network, discriminator: Network, optimizer: Optimizer, real: Tensor, z: Tensor, losses: Losses = HINGE
) -> DiscriminatorLoss:
    """Makes one step of D on real images [B, C, H, W] and on fakes that G makes of z."""
    with torch.no_grad():
        fake = generator(z)
    found = losses.of_d(discriminator, real, fake)
    _descend(found.total, optimizer)
    return found


def generator_step(
    generator: Network,
    discriminator: Network,
    optimizer: Optimizer,
    z: Tensor,
    constant: Sequence[nn.Module],
    losses: Losses = HINGE,
    on_real: Tensor | None = None,
) -> Tensor:
    """Makes one step of G on images that it makes of z; returns the loss, 0-dim, detached.

    Args:
        constant: networks, D among them, whose weights take no gradient.
        on_real: what ``losses.scores_of_real`` returned.
    """
    with frozen(*constant):
        loss = losses.of_g(discriminator, generator(z), on_real)
        _descend(loss, optimizer)
    return loss.detach()


def _descend(loss: Tensor, optimizer: Optimizer) -> None:
    optimizer.zero_grad(set_to_none=True)
    if loss.requires_grad:  # a sampled architecture that is all "none" depends on nothing
        loss.backward()
        optimizer.step()


def with_selection(network: nn.Module, selection: Selection) -> Network:
    """Returns a supernet as a function of its input alone, at fixed architecture weights."""
    return lambda x: network(x, selection)


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Computes no gradients for the weights of these networks while the block runs."""
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
    """Lists the weights once: in the thousand modules of a supernet that takes a tenth of a step."""
    if network not in _KNOWN:
        _KNOWN[network] = list(network.parameters())
    return _KNOWN[network]


def adam(
    parameters: list[nn.Parameter],
    lr: float,
    betas: tuple[float, float],
    weight_decay: float = 0.0,
    clip_grad_norm: float | None = None,
    processes: Processes = ALONE,
) -> Adam:
    """Returns Adam with one kernel for all weights.

    Args:
        clip_grad_norm: the largest norm of the gradient of all parameters together; before each step a longer gradient
            is scaled down to it. None leaves gradients as they are.
        processes: that step together, by the mean of their gradients.
    """
    optimizer = Adam(parameters, lr=lr, betas=betas, weight_decay=weight_decay, fused=True)
    if processes.count > 1:
        optimizer.register_step_pre_hook(lambda *_: processes.average(parameters))
    if clip_grad_norm is not None:
        largest = clip_grad_norm

        def clip(*_: object) -> None:
            clip_grad_norm_(parameters, largest)

        optimizer.register_step_pre_hook(clip)
    # torch's fused kernel writes without counting it, and who keeps what it made of a weight could not notice.
    optimizer.register_step_post_hook(lambda *_: increment_version(parameters))
    return optimizer


class Ema:
    """The exponential moving average of a network's weights: avg <- decay * avg + (1 - decay) * weight.

    It starts at the initial weights. ``network`` is a full copy that holds the average. Only ``parameters()`` are
    averaged: logits are no parameters of any network, and batch-norm buffers are scratch space of evaluations, which
    re-estimate them. The singular vectors of spectral norms are copied as they are.

    Args:
        network: whose weights, the same tensors to the end, are averaged.
        decay: from 0 to 1.
        unbiased: the average is of what :meth:`update` saw alone. After n updates the initial weights would make up
            decay^n of it; they are left out, and the rest is weighted by 1 / (1 - decay^n).
    """

    def __init__(self, network: nn.Module, decay: float, unbiased: bool = False) -> None:
        self.decay, self.unbiased, self._updates = decay, unbiased, 0
        self.network = copy.deepcopy(network).requires_grad_(False)
        self._vectors = _weight_buffers(self.network)
        # Listed once: a supernet has a thousand modules.
        self._averages: list[Tensor] = [*self.network.parameters()]
        self._live: list[Tensor] = [*network.parameters()]
        buffers = dict(network.named_buffers())
        self._live_vectors = [buffers[name] for name in self._vectors]

    @torch.no_grad()
    def update(self) -> None:
        """Takes the present weights into the average; to be called after each step of the network."""
        self._updates += 1
        present = 1 - self.decay
        if self.unbiased and present:
            present /= 1 - self.decay**self._updates
        torch._foreach_lerp_(self._averages, self._live, present)
        if self._vectors:
            torch._foreach_copy_([*self._vectors.values()], self._live_vectors)

    def restart(self) -> None:
        """Forgets how many updates there were, as after new initial weights."""
        self._updates = 0

    def state_dict(self) -> dict[str, Tensor]:
        """Returns name -> averaged parameter, or singular vector; and ``updates``, how many there were."""
        return self._tensors() | {"updates": torch.tensor(self._updates)}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, value in self._tensors().items():
            value.copy_(state[name])
        self._updates = int(state.get("updates", 0))

    def _tensors(self) -> dict[str, Tensor]:
        averages = {name: parameter.detach() for name, parameter in self.network.named_parameters()}
        return averages | self._vectors


def _weight_buffers(network: nn.Module) -> dict[str, Tensor]:
    """Returns the buffers that belong to the weights: all but the statistics of batch norms and constants."""
    kept = network.state_dict().keys()
    return {
        f"{lead}.{name}": buffer
        for lead, module in network.named_modules()
        if not isinstance(module, nn.modules.batchnorm._BatchNorm)
        for name, buffer in module.named_buffers(recurse=False)
        if f"{lead}.{name}" in kept
    }


class RunningMeans:
    """Running means, by name, of what steps leave: 0-dim tensors, kept on the device so that no step waits for it."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, **values: Tensor) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def mean(self, name: str) -> float | None:
        """Returns None where nothing was added under the name."""
        return float(self._sums[name]) / self._counts[name] if name in self._sums else None

    def state_dict(self) -> dict[str, Any]:
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])
