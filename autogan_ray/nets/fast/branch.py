"""One choice of a mixture, cut into what can be shared with others, its own layers, and where its share folds in.

The share of a choice multiplies its output. A linear last layer can take it into its weights, a batch norm into its
affine part: then no product of the size of an activation is made, nor kept for the backward pass. All of it is the
same arithmetic in another order: equal to the plain form up to rounding, values and gradients.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from autogan_ray.nets.fast.tap import BILINEAR_RELU, RELU, VALUE, Tap
from autogan_ray.nets.fast.total import Total


@dataclass(frozen=True)
class Branch:
    """Args: lead: what the layers read (see :mod:`~autogan_ray.nets.fast.tap`); layers: in order, maybe none."""

    lead: str
    layers: tuple[nn.Module, ...]

    @classmethod
    def of(cls, module: nn.Module) -> Branch:
        """How an operation is cut; one of unknown form is its own single layer."""
        layers = tuple(module) if isinstance(module, nn.Sequential) else (module,)
        if isinstance(layers[0], nn.Identity):
            return cls(VALUE, layers[1:])
        if isinstance(layers[0], nn.ReLU):
            return cls(RELU, layers[1:])
        if len(layers) >= 3 and isinstance(layers[0], nn.Upsample) and isinstance(layers[1], nn.ReLU):
            first, _, pointwise, *rest = layers
            if first.mode == "bilinear":
                return cls(BILINEAR_RELU, layers[2:])
            # Repeating pixels commutes with all that treats each pixel alone: a quarter of the work.
            return cls(RELU, (pointwise, first, *rest))
        return cls(VALUE, layers)

    def __call__(self, tap: Tap) -> Tensor:
        """The choice's output."""
        x = tap.lead(self.lead)
        for layer in self.layers:
            x = layer(x)
        return x

    @property
    def fold(self) -> int:
        """Number of the layer that the share goes into; -1: into what the first one reads."""
        fold = len(self.layers) - 1
        while fold >= 0 and isinstance(self.layers[fold], nn.Upsample):
            fold -= 1  # linear and without weights: the share may go in before it, where the tensor is smaller
        return fold

    def onto(self, total: Total, tap: Tap, share: Tensor, affine: Affine | None = None) -> None:
        """Adds the choice's output times ``share`` (0-dim). Args: affine: of the batch norm it folds into, weighted."""
        x = tap.lead(self.lead)
        if not self.layers:
            total.add_product(share, x)
            return
        fold = self.fold
        if fold < 0:
            x = share * x
        for index, layer in enumerate(self.layers):
            x = layer(x) if index != fold else scaled(layer, x, share, affine)
        total.add(x, fresh=True)


Affine = tuple[Tensor, Tensor | None]
"""Weight and bias of a batch norm, [C] each."""


def scaled(layer: nn.Module, x: Tensor, share: Tensor, affine: Affine | None = None) -> Tensor:
    """``share * layer(x)``, with the share inside the layer's weights where it has some.

    Args:
        affine: of a batch norm, where the product is known already, and the batch counted.
    """
    if isinstance(layer, nn.Conv2d):
        bias = None if layer.bias is None else layer.bias * share
        return layer._conv_forward(x, layer.weight * share, bias)
    if isinstance(layer, nn.BatchNorm2d):
        return _scaled_norm(layer, x, share, affine)
    return share * layer(x)


def _scaled_norm(layer: nn.BatchNorm2d, x: Tensor, share: Tensor, affine: Affine | None) -> Tensor:
    """As ``nn.BatchNorm2d.forward``, running statistics included, but with weight and bias times the share."""
    if affine is None:
        if layer.training and layer.num_batches_tracked is not None:
            layer.num_batches_tracked.add_(1)
        # Laid out in full: torch's channels-last kernel would read an expanded vector past its end.
        weight = layer.weight * share if layer.affine else share.expand(layer.num_features).contiguous()
        affine = weight, layer.bias * share if layer.affine else None
    momentum = layer.momentum
    if momentum is None and layer.training and layer.num_batches_tracked is not None:
        momentum = 1.0 / float(layer.num_batches_tracked)  # a cumulative mean
    use_batch = layer.training or layer.running_mean is None
    return functional.batch_norm(
        x, layer.running_mean, layer.running_var, *affine, use_batch, momentum or 0.0, layer.eps
    )
