"""AutoGAN's dynamic reset: the shared weights start anew where training has stalled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from autogan_ray.nets.supernet import Supernet
from autogan_ray.training.steps import Ema


class PlateauDetector:
    """Notices when the losses of either network hardly vary any more.

    The losses of a network are cut into windows, and the variance of each window is compared with a limit. Losses stay
    on their device, which is waited for once per window.

    Args:
        window: losses per window (AutoGAN: 500); 0 compares nothing.
        variance: the limit (AutoGAN: 1e-3).

    ``reached`` is True from the first window below the limit until :meth:`clear`.
    """

    def __init__(self, window: int, variance: float) -> None:
        self._window, self._variance = window, variance
        self._losses: dict[str, list[Tensor]] = {"d": [], "g": []}
        self.reached = False

    def add(self, network: str, loss: Tensor) -> None:
        """Adds a loss, 0-dim, of the network ``d`` or ``g``."""
        if not self._window:
            return
        losses = self._losses[network]
        losses.append(loss.detach())
        if len(losses) >= self._window:
            self.reached |= bool(torch.stack(losses).var(correction=0) < self._variance)
            losses.clear()

    def clear(self) -> None:
        self.reached = False
        for losses in self._losses.values():
            losses.clear()

    def state_dict(self) -> dict[str, Any]:
        stacked = {name: torch.stack(losses) if losses else torch.zeros(0) for name, losses in self._losses.items()}
        return {"losses": stacked, "at_rest": self.reached}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        self._losses = {name: [*losses.to(device).unbind()] for name, losses in state["losses"].items()}
        self.reached = state["at_rest"]


def start_anew(net: Supernet, ema: Ema, optimizers: list[torch.optim.Adam], rng: torch.Generator) -> None:
    """Draws fresh weights for both networks and the average, and clears the optimisers; logits stay as they are."""
    fresh = Supernet.build(net.space, net.shape, rng, net.arch_g.logits.device)
    net.generator.load_state_dict(fresh.generator.state_dict())
    net.discriminator.load_state_dict(fresh.discriminator.state_dict())
    ema.network.load_state_dict(fresh.generator.state_dict())
    ema.restart()
    for optimizer in optimizers:
        optimizer.state.clear()
