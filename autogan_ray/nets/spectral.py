"""Spectral normalisation (Miyato et al. 2018): a weight divided by its largest singular value.

torch's own parametrisation, with one difference: under autocast it stays in float32, where the power iteration
converges. State names (``_u``, ``_v``), initial values and results are those of
``torch.nn.utils.parametrizations.spectral_norm``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

FIRST_ITERATIONS = 15
EPSILON = 1e-12


class SpectralNorm(nn.Module):
    """Weight [rows, ...] -> weight / sigma; one power iteration a call in training mode, none in evaluation."""

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("_u", functional.normalize(torch.randn(matrix.shape[0]), dim=0, eps=EPSILON))
        self.register_buffer("_v", functional.normalize(torch.randn(matrix.shape[1]), dim=0, eps=EPSILON))
        for _ in range(FIRST_ITERATIONS):
            self._iterate(matrix)

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        functional.normalize(torch.mv(matrix, self._v), dim=0, eps=EPSILON, out=self._u)
        functional.normalize(torch.mv(matrix.T, self._u), dim=0, eps=EPSILON, out=self._v)

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            matrix = weight.flatten(1)
            if self.training:
                self._iterate(matrix.detach())
            # Copies, as two passes before one backward would else overwrite what the first has kept.
            u, v = self._u.clone(), self._v.clone()
            return weight / torch.vdot(u, torch.mv(matrix, v))


def spectral(layer: nn.Module) -> nn.Module:
    """The layer with its weight divided by its spectral norm.

    On the meta device, where networks are only counted, the layer is left plain: its sizes are the same, and the
    first power iterations take seconds there.
    """
    weight = layer.weight
    assert isinstance(weight, Tensor)
    if not weight.is_meta:
        parametrize.register_parametrization(layer, "weight", SpectralNorm(weight))
    return layer
