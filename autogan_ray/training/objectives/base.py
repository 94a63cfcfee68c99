"""The contract of an objective: what the discriminator's weights descend, and what the generator's.

To add an objective, write ``training/objectives/<name>.py`` with a subclass of :class:`Objective` named ``OBJECTIVE``,
and give ``<name>`` its place in ``Objective`` and ``OWN_GAMMA`` of ``config/training.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor


class Objective(ABC):
    """Losses of scores. D's scores of real images and of fakes are float32 [B], unbounded."""

    compares: ClassVar[bool] = False
    """Whether G's loss reads D's scores of real images."""
    penalises_fakes: ClassVar[bool] = False
    """Whether a gradient penalty is also taken at fakes (R2), and not at real images alone (R1)."""

    @abstractmethod
    def loss_d(self, real: Tensor, fake: Tensor) -> Tensor:
        """Returns D's loss, 0-dim; minus it is the value V(G, D) of the game."""

    @abstractmethod
    def loss_g(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """Returns G's loss, 0-dim; ``real`` is there where the objective compares."""


def paired(real: Tensor, count: int) -> Tensor:
    """Returns ``count`` scores of real images for as many fakes: the given ones [B], from the beginning again."""
    return real if len(real) == count else real.repeat(-(-count // len(real)))[:count]
