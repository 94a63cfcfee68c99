"""The non-saturating loss (Goodfellow et al., NeurIPS 2014, section 3), with R1 (Mescheder et al., ICML 2018)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from autogan_ray.training.objectives.base import Objective


class NonSaturating(Objective):
    """L_D = mean(softplus(-D(x))) + mean(softplus(D(G(z)))), L_G = mean(softplus(-D(G(z))))."""

    def loss_d(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(-real).mean() + softplus(fake).mean()

    def loss_g(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return softplus(-fake).mean()


OBJECTIVE = NonSaturating()
