"""Spectral normalisation (Miyato et al. 2018): a weight divided by its largest singular value.

torch's own parametrisation, with one difference: under autocast it stays in float32, where the power iteration
converges. State names (``_u``, ``_v``), initial values and results are those of
``torch.nn.utils.parametrizations.spectral_norm``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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


def is_spectral(layer: nn.Module) -> bool:
    """Whether the layer's weight is divided by its spectral norm."""
    return parametrize.is_parametrized(layer, "weight")


def original(layer: nn.Module) -> Tensor:
    """The weight that is trained: of a layer with spectral norm, before it is divided."""
    weight = _parametrization(layer).original if is_spectral(layer) else layer.weight
    assert isinstance(weight, Tensor)
    return weight


def inverse_norms(layers: Sequence[nn.Module]) -> Tensor:
    """1 / sigma of each layer [n], differentiable; power iterations as if each layer's weight had been asked for.

    Weights of one shape go through their iteration together: at the widths of a search, a layer alone costs its calls
    and not its arithmetic.
    """
    weights = [original(layer) for layer in layers]
    alike: dict[tuple[torch.Size, bool], list[int]] = {}
    for number, (layer, weight) in enumerate(zip(layers, weights, strict=True)):
        alike.setdefault((weight.shape, _parametrization(layer)[0].training), []).append(number)
    found: dict[int, Tensor] = {}
    with torch.autocast(weights[0].device.type, enabled=False):
        for numbers in alike.values():
            norms = [_parametrization(layers[number])[0] for number in numbers]
            matrices = torch.stack([weights[number] for number in numbers]).flatten(2)
            found.update(zip(numbers, _sigmas(norms, matrices).reciprocal().unbind(), strict=True))
        return torch.stack([found[number] for number in range(len(layers))])


def _parametrization(layer: nn.Module) -> Any:
    parametrizations: Any = layer.parametrizations
    return parametrizations.weight


def _sigmas(norms: Sequence[SpectralNorm], matrices: Tensor) -> Tensor:
    """[n], of matrices [n, rows, columns]; all in training mode, or none."""
    v = torch.stack([norm._v for norm in norms]).unsqueeze(2)
    if norms[0].training:
        with torch.no_grad():
            u = functional.normalize(torch.bmm(matrices, v), dim=1, eps=EPSILON)
            v = functional.normalize(torch.bmm(matrices.mT, u), dim=1, eps=EPSILON)
            for norm, left, right in zip(norms, u.squeeze(2).unbind(), v.squeeze(2).unbind(), strict=True):
                norm._u.copy_(left)
                norm._v.copy_(right)
    else:
        u = torch.stack([norm._u for norm in norms]).unsqueeze(2)
    return (u * torch.bmm(matrices, v)).sum(dim=(1, 2))


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
