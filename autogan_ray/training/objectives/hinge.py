"""The hinge loss (Lim and Ye 2017; Miyato et al., ICLR 2018, equations 16 and 17)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu

from autogan_ray.training.objectives.base import Objective


class Hinge(Objective):
    """L_D = mean(relu(1 - D(x))) + mean(relu(1 + D(G(z)))), L_G = -mean(D(G(z))), which does not saturate."""

    def loss_d(self, real: Tensor, fake: Tensor) -> Tensor:
        return relu(1 - real).mean() + relu(1 + fake).mean()

    def loss_g(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return -fake.mean()


OBJECTIVE = Hinge()
