"""The straight-through factor of a single path: 1 in value, with the gradient of a product."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def gated(x: Tensor, scale: Tensor) -> Tensor:
    """``scale * x`` for a 0-dim ``scale`` that is 1: nothing is multiplied, forward or backward.

    Twice differentiable. The result shares memory with ``x``: it is not to be written to.
    """
    return _Gate.apply(x, scale)


class _Gate(torch.autograd.Function):
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
