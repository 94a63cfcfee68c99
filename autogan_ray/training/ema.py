"""The exponential moving average of a network's weights, in a network of its own.

Only ``parameters()`` are averaged: batch-norm statistics are re-estimated before scoring, and logits are no
parameters of any network.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Ema:
    """avg <- decay * avg + (1 - decay) * weight, starting at the initial weights.

    ``network`` is a full copy; its batch-norm buffers are scratch space of evaluations and hold no state.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        averages: list[Tensor] = [*self.network.parameters()]
        torch._foreach_lerp_(averages, [*network.parameters()], 1 - self.decay)

    def state_dict(self) -> dict[str, Tensor]:
        """Name -> averaged parameter."""
        return {name: parameter.detach() for name, parameter in self.network.named_parameters()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, parameter in self.network.named_parameters():
            parameter.copy_(state[name])
