"""One operation in the fast form: what it shares with others, its own layers, and where a weight folds into them.

The architecture weight of a choice multiplies its output. A linear last layer can take the weight into its own weights,
a batch norm into its affine part: then no product of the size of an activation is made, nor kept for the backward
pass. It is the same arithmetic in another order, equal to the plain form up to rounding, values and gradients.

An operation of a form that is not known here is one single layer: it is called as it is, and its output multiplied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from autogan_ray.nets.fast.dilated import same_conv
from autogan_ray.nets.fast.shared_input import BILINEAR_RELU, RELU, VALUE, RunningSum, SharedInput
from autogan_ray.nets.ops import SameConv2d
from autogan_ray.nets.spectral import is_spectral

Affine = tuple[Tensor, Tensor | None]
"""Weight and bias of a batch norm, [C] each."""


@dataclass(frozen=True)
class SplitOperation:
    """An operation, split behind what it has in common with others.

    Args:
        reads: what its layers read of the node (see :mod:`~autogan_ray.nets.fast.shared_input`).
        layers: its own layers in order, maybe none.
    """

    reads: str
    layers: tuple[nn.Module, ...]

    @classmethod
    def of(cls, module: nn.Module) -> SplitOperation:
        """Splits the module of a choice."""
        layers = tuple(module) if isinstance(module, nn.Sequential) else (module,)
        if isinstance(layers[0], nn.Identity):
            return cls(VALUE, layers[1:])
        if isinstance(layers[0], nn.ReLU):
            return cls(RELU, layers[1:])
        if len(layers) >= 3 and isinstance(layers[0], nn.Upsample) and isinstance(layers[1], nn.ReLU):
            doubling, _, pointwise, *rest = layers
            if doubling.scale_factor == 2 and doubling.mode == "bilinear" and not doubling.align_corners:
                return cls(BILINEAR_RELU, layers[2:])
            # Repeating pixels commutes with all that treats each pixel alone: a quarter of the work.
            if doubling.mode == "nearest" and is_same_conv(pointwise) and pointwise.kernel_size == (1, 1):
                if pointwise.stride == (1, 1):
                    return cls(RELU, (pointwise, doubling, *rest))
        return cls(VALUE, layers)

    def __call__(self, shared: SharedInput) -> Tensor:
        """The operation's output."""
        x = shared.read(self.reads)
        for layer in self.layers:
            x = called(layer, x)
        return x

    @property
    def folding_layer(self) -> int:
        """Number of the layer that a weight folds into; -1 stands for what the first layer reads."""
        number = len(self.layers) - 1
        while number >= 0 and isinstance(self.layers[number], nn.Upsample):
            number -= 1  # it is linear and has no weights: the weight may go in before it, where the tensor is smaller
        return number

    def add_to(self, total: RunningSum, shared: SharedInput, weight: Tensor, affine: Affine | None = None) -> None:
        """Adds the operation's output times ``weight``.

        Args:
            weight: 0-dim.
            affine: of the batch norm that the weight folds into, weighted already.
        """
        x = shared.read(self.reads)
        if not self.layers:
            total.add_product(weight, x)
            return
        folding = self.folding_layer
        if folding < 0:
            x = weight * x
        for number, layer in enumerate(self.layers):
            x = called(layer, x) if number != folding else weighted(layer, x, weight, affine)
        total.add(x, fresh=True)


def is_same_conv(layer: nn.Module) -> bool:
    """Whether the layer is a convolution that the fast form knows: its kernel may be weighted, or added to others.

    It knows :class:`~autogan_ray.nets.ops.SameConv2d` over all channels, whose weight is as it is or divided by its
    spectral norm. All other convolutions run by themselves.
    """
    known = not parametrize.is_parametrized(layer) or is_spectral(layer)
    return isinstance(layer, SameConv2d) and layer.groups == 1 and known


def called(layer: nn.Module, x: Tensor) -> Tensor:
    """``layer(x)``; a convolution in the form that the device computes fastest."""
    if isinstance(layer, SameConv2d):
        return same_conv(x, layer.weight, layer.bias, layer.stride[0], layer.dilation[0], layer.groups)
    return layer(x)


def weighted(layer: nn.Module, x: Tensor, weight: Tensor, affine: Affine | None = None) -> Tensor:
    """``weight * layer(x)``, with the weight inside the layer's own weights where it has such.

    Args:
        weight: 0-dim.
        affine: of a batch norm, where it is weighted already and the batch counted.
    """
    if isinstance(layer, SameConv2d):
        bias = None if layer.bias is None else layer.bias * weight
        return same_conv(x, layer.weight * weight, bias, layer.stride[0], layer.dilation[0], layer.groups)
    if isinstance(layer, nn.BatchNorm2d):
        return _weighted_norm(layer, x, weight, affine)
    return weight * layer(x)


def _weighted_norm(layer: nn.BatchNorm2d, x: Tensor, weight: Tensor, affine: Affine | None) -> Tensor:
    """As ``nn.BatchNorm2d.forward``, running statistics included, with its weight and bias times ``weight``."""
    if affine is None:
        if layer.training and layer.num_batches_tracked is not None:
            layer.num_batches_tracked.add_(1)
        # Laid out in full: torch's channels-last kernel would read an expanded vector past its end.
        scale = layer.weight * weight if layer.affine else weight.expand(layer.num_features).contiguous()
        affine = scale, layer.bias * weight if layer.affine else None
    momentum = layer.momentum
    if momentum is None and layer.training and layer.num_batches_tracked is not None:
        momentum = 1.0 / float(layer.num_batches_tracked)  # a cumulative mean
    use_batch = layer.training or layer.running_mean is None
    return functional.batch_norm(
        x, layer.running_mean, layer.running_var, *affine, use_batch, momentum or 0.0, layer.eps
    )


def straight_through(x: Tensor, scale: Tensor) -> Tensor:
    """``scale * x`` for a 0-dim ``scale`` that is 1: nothing is multiplied, forward or backward.

    Twice differentiable. The result has its memory in common with ``x``: it is not to be written to.
    """
    return _StraightThrough.apply(x, scale)


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(x, scale)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, scale = ctx.saved_tensors
        to_x = to_scale = None
        if ctx.needs_input_grad[0]:
            to_x = scale * grad if torch.is_grad_enabled() else grad  # the scale counts where this is differentiated
        if ctx.needs_input_grad[1]:
            to_scale = (grad * x).sum()
        return to_x, to_scale
