"""The hinge loss (Lim and Ye 2017; Miyato et al. 2018, equations 16 and 17)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu


def hinge_d(real: Tensor, fake: Tensor) -> Tensor:
    """mean(relu(1 - D(x))) + mean(relu(1 + D(G(z)))), from scores [B]."""
    return relu(1 - real).mean() + relu(1 + fake).mean()


def hinge_g(fake: Tensor) -> Tensor:
    """-mean(D(G(z))), from scores [B]; it does not saturate."""
    return -fake.mean()
