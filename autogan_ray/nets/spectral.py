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
    """Weight [rows, ...] -> weight / sigma; one power iteration a call in training mode, none in evaluation.

    ``given``: 1 / sigma of the next call, where the fast form has computed it already.
    """

    _u: Tensor
    _v: Tensor
    given: Tensor | None = None

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
        given, self.given = self.given, None
        if given is not None:
            return weight * given
        with torch.autocast(weight.device.type, enabled=False):
            return weight / sigmas([self], weight.unsqueeze(0)).squeeze(0)


def is_spectral(layer: nn.Module) -> bool:
    """Whether the layer's weight is divided by its spectral norm, and nothing else is done to it."""
    if not parametrize.is_parametrized(layer, "weight"):
        return False
    changes = _parametrization(layer)
    return len(changes) == 1 and isinstance(changes[0], SpectralNorm)


def site_of(layer: nn.Module) -> tuple[nn.Module, str]:
    """Module and name of the weight that is trained; a functional call puts another weight there for its time."""
    return (_parametrization(layer), "original") if is_spectral(layer) else (layer, "weight")


def original(layer: nn.Module) -> Tensor:
    """The weight that is trained: of a layer with spectral norm, before it is divided."""
    return getattr(*site_of(layer))


def norm_of(layer: nn.Module) -> SpectralNorm:
    """The spectral norm of a layer that has one."""
    return _parametrization(layer)[0]


def sigmas(norms: Sequence[SpectralNorm], weights: Tensor) -> Tensor:
    """The largest singular value of each weight [n], differentiable; one power iteration each in training mode.

    All weights together, as at the widths of a search a layer by itself costs its calls and not its arithmetic.

    Args:
        norms: all in training mode or none.
        weights: stacked [n, rows, ...]; of convolutions channels-last or not.
    """
    columns, last = weights.shape[2:], weights.ndim == 5 and not weights.is_contiguous()
    matrices = (weights.permute(0, 1, 3, 4, 2) if last else weights).flatten(2)
    with torch.autocast(weights.device.type, enabled=False):
        with torch.no_grad():
            v = torch.stack([norm._v for norm in norms])
            if last:  # in the order of the matrices' columns
                v = v.view(-1, *columns).permute(0, 2, 3, 1).flatten(1)
            v = v.unsqueeze(2)
            if norms[0].training:
                u = functional.normalize(torch.bmm(matrices.detach(), v), dim=1, eps=EPSILON)
            else:
                u = torch.stack([norm._u for norm in norms]).unsqueeze(2)
        # u^T W v from the left, so that the iteration's second half is the first of sigma.
        left = torch.bmm(matrices.mT, u)
        if norms[0].training:
            with torch.no_grad():
                v = functional.normalize(left.detach(), dim=1, eps=EPSILON)
                _keep(norms, u.squeeze(2), v.squeeze(2), columns, last)
        return (left * v).sum(dim=(1, 2))


def _keep(norms: Sequence[SpectralNorm], u: Tensor, v: Tensor, columns: torch.Size, last: bool) -> None:
    if last:
        v = v.view(-1, *columns[1:], columns[0]).permute(0, 3, 1, 2).flatten(1)
    torch._foreach_copy_([norm._u for norm in norms] + [norm._v for norm in norms], [*u.unbind(), *v.unbind()])


def stacked(weights: Sequence[Tensor], last: bool) -> Tensor:
    """Weights of one shape as one tensor [n, ...] of their memory layout; ``last``: convolutions' are channels-last."""
    if last and weights[0].ndim == 4:
        return torch.stack([weight.permute(0, 2, 3, 1) for weight in weights]).permute(0, 1, 4, 2, 3)
    return torch.stack([*weights])


def _parametrization(layer: nn.Module) -> Any:
    parametrizations: Any = layer.parametrizations
    return parametrizations.weight


def remove_spectral_norms(network: nn.Module) -> None:
    """Leaves every weight of a network as it is, not divided; the weights that are trained keep their values."""
    for layer in filter(is_spectral, network.modules()):
        weight = original(layer)
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
        assert layer.weight is weight


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
