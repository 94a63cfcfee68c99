"""The exponential moving average of a network's weights, in a network of its own.

Only ``parameters()`` are averaged: batch-norm statistics are re-estimated before scoring, and logits are no
parameters of any network. The singular vectors of spectral norms are taken over as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Ema:
    """avg <- decay * avg + (1 - decay) * weight, starting at the initial weights.

    ``network`` is a full copy; its batch-norm buffers are scratch space of evaluations and hold no state.

    Args:
        network: whose weights, the same tensors to the end, are averaged.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False)
        self._vectors = _weight_buffers(self.network)
        # Looked for once: a supernet has a thousand modules.
        self._averages: list[Tensor] = [*self.network.parameters()]
        self._live: list[Tensor] = [*network.parameters()]
        buffers = dict(network.named_buffers())
        self._live_vectors = [buffers[name] for name in self._vectors]

    @torch.no_grad()
    def update(self) -> None:
        """After each step of the network."""
        torch._foreach_lerp_(self._averages, self._live, 1 - self.decay)
        if self._vectors:
            torch._foreach_copy_([*self._vectors.values()], self._live_vectors)

    def state_dict(self) -> dict[str, Tensor]:
        """Name -> averaged parameter, or singular vector."""
        averages = {name: parameter.detach() for name, parameter in self.network.named_parameters()}
        return averages | self._vectors

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, value in self.state_dict().items():
            value.copy_(state[name])


def _weight_buffers(network: nn.Module) -> dict[str, Tensor]:
    """Buffers that belong to the weights: all but the statistics of batch norms."""
    return {
        f"{lead}.{name}": buffer
        for lead, module in network.named_modules()
        if not isinstance(module, nn.modules.batchnorm._BatchNorm)
        for name, buffer in module.named_buffers(recurse=False)
    }
