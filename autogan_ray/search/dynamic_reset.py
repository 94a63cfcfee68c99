"""AutoGAN's dynamic reset: the shared weights start anew where training has come to rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from autogan_ray.nets.supernet import Supernet
from autogan_ray.training.ema import Ema


class RestDetector:
    """Whether the losses of either network have all but stopped to vary: in windows of so many losses of that network,
    one after the other, the variance is asked for (AutoGAN: 500, below 1e-3).

    Losses stay on their device; it is waited for once a window.
    """

    def __init__(self, window: int, variance: float) -> None:
        self._window, self._variance = window, variance
        self._losses: dict[str, list[Tensor]] = {"d": [], "g": []}
        self.at_rest = False

    def add(self, network: str, loss: Tensor) -> None:
        """``network``: ``d`` or ``g``."""
        if not self._window:
            return
        losses = self._losses[network]
        losses.append(loss.detach())
        if len(losses) >= self._window:
            self.at_rest |= bool(torch.stack(losses).var(correction=0) < self._variance)
            losses.clear()

    def clear(self) -> None:
        self.at_rest = False
        for losses in self._losses.values():
            losses.clear()

    def state_dict(self) -> dict[str, Any]:
        found = {name: torch.stack(losses) if losses else torch.zeros(0) for name, losses in self._losses.items()}
        return {"losses": found, "at_rest": self.at_rest}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        self._losses = {name: [*losses.to(device).unbind()] for name, losses in state["losses"].items()}
        self.at_rest = state["at_rest"]


def start_anew(net: Supernet, ema: Ema, optimizers: list[torch.optim.Optimizer], rng: torch.Generator) -> None:
    """Fresh weights of both networks and of the average, optimisers as at the start; logits stay as they are."""
    fresh = Supernet.build(net.space, net.shape, rng, net.arch_g.logits.device)
    net.generator.load_state_dict(fresh.generator.state_dict())
    net.discriminator.load_state_dict(fresh.discriminator.state_dict())
    ema.network.load_state_dict(fresh.generator.state_dict())
    for optimizer in optimizers:
        optimizer.state.clear()
