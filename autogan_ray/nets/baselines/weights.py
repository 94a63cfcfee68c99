"""Orthogonal first weights, and spectral norms that follow from the weights alone."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrize import ParametrizationList


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
    for weight, u, v in _spectral_norms(network):
        matrix = weight.flatten(1)
        if not bool(torch.isfinite(matrix).all()):
            continue
        # The leading eigenvector of the smaller of W W' and W' W.
        if matrix.shape[0] <= matrix.shape[1]:
            u.copy_(torch.linalg.eigh(matrix @ matrix.T).eigenvectors[:, -1])
            v.copy_(functional.normalize(matrix.T @ u, dim=0))
        else:
            v.copy_(torch.linalg.eigh(matrix.T @ matrix).eigenvectors[:, -1])
            u.copy_(functional.normalize(matrix @ v, dim=0))


def _spectral_norms(network: nn.Module) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(weight, left vector, right vector) of each; the vectors go by their names in a state dict."""
    for module in network.modules():
        if isinstance(module, ParametrizationList):
            for norm in module:
                buffers = dict(norm.named_buffers())
                if {"_u", "_v"} <= buffers.keys():
                    original = module.original
                    assert isinstance(original, Tensor)
                    yield original, buffers["_u"], buffers["_v"]
