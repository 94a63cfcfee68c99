"""The contract of an architecture update: one step on D's logits, one step on G's, and the state these take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from autogan_ray.config import TrialConfig
from autogan_ray.nets.mixed import Selection
from autogan_ray.nets.relaxation import ArchitectureParameters
from autogan_ray.nets.supernet import Supernet
from autogan_ray.sections import SearchConfig


@dataclass(frozen=True)
class Moment:
    """One point of a search: the relaxation in force and the step's own random stream."""

    search: SearchConfig
    temperature: float
    rng: torch.Generator

    def select(self, logits: ArchitectureParameters) -> Selection:
        """A draw of the relaxation, with gradient to the logits."""
        return logits.select(self.search.relaxation, self.temperature, self.rng, self.search.logits_as_probabilities)

    def draw(self, logits: ArchitectureParameters) -> Selection:
        """The same without gradient: for steps on weights."""
        with torch.no_grad():
            return self.select(logits)


@dataclass(frozen=True)
class ArchitectureUpdate:
    """What one update tells: loss and norm of the logits' gradient, 0-dim tensors."""

    loss: Tensor
    grad_norm: Tensor


class ArchitectureMethod(Protocol):
    """Implemented one method a file; listed in :mod:`autogan_ray.search.methods`."""

    def update_d(self, net: Supernet, moment: Moment, real: Tensor, z: Tensor) -> ArchitectureUpdate | None:
        """One step on D's logits from held-out images [B, C, H, W]; None where D has no decisions."""

    def update_g(self, net: Supernet, moment: Moment, z: Tensor) -> ArchitectureUpdate | None:
        """One step on G's logits; None where G has no decisions."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class MethodFactory(Protocol):
    def __call__(self, net: Supernet, trial: TrialConfig) -> ArchitectureMethod: ...
