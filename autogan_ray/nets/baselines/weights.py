"""Orthogonal first weights, and spectral norms that follow from the weights alone."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from autogan_ray.nets.spectral import is_spectral, norm_of, original


def start_orthogonal(network: nn.Module) -> None:
    """Orthogonal weights (Saxe et al. 2014; Brock et al. 2019, section 3) and no offset in every conv and linear layer.

    On the meta device nothing is done.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            for parameter in module.parameters():
                if parameter.ndim == 1:
                    nn.init.zeros_(parameter)
                elif not parameter.is_meta:
                    nn.init.orthogonal_(parameter)
    settle_spectral(network)


@torch.no_grad()
def settle_spectral(network: nn.Module) -> None:
    """Set all singular vectors of spectral norms to the exact ones of the present weights.

    Training follows them by one power iteration a pass. A network whose weights were averaged or loaded without its
    buffers holds vectors of other weights, by which it would be divided wrongly. Weights that are not finite are left.
    """
    for layer in filter(is_spectral, network.modules()):
        norm, matrix = norm_of(layer), original(layer).flatten(1)
        u, v = norm._u, norm._v
        if not bool(torch.isfinite(matrix).all()):
            continue
        # The leading eigenvector of the smaller of W W' and W' W.
        if matrix.shape[0] <= matrix.shape[1]:
            u.copy_(torch.linalg.eigh(matrix @ matrix.T).eigenvectors[:, -1])
            v.copy_(functional.normalize(matrix.T @ u, dim=0))
        else:
            v.copy_(torch.linalg.eigh(matrix.T @ matrix).eigenvectors[:, -1])
            u.copy_(functional.normalize(matrix @ v, dim=0))
