"""The relativistic pairing loss with R1 and R2 (R3GAN, Huang et al., NeurIPS 2024, section 2).

Each fake is judged beside a real image, so D has no level of its own: a number added to all its scores changes nothing.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from autogan_ray.training.objectives.base import Objective, paired


class Relativistic(Objective):
    """L_D = mean(softplus(D(G(z)) - D(x))), L_G = mean(softplus(D(x) - D(G(z)))), over pairs (x, z) of a batch."""

    compares = True
    penalises_fakes = True

    def loss_d(self, real: Tensor, fake: Tensor) -> Tensor:
        count = max(len(real), len(fake))
        return softplus(paired(fake, count) - paired(real, count)).mean()

    def loss_g(self, fake: Tensor, real: Tensor | None) -> Tensor:
        assert real is not None, "a relativistic loss compares fakes with real images"
        return softplus(paired(real, len(fake)) - fake).mean()


OBJECTIVE = Relativistic()
