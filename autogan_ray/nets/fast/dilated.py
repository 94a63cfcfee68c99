"""Convolutions with "same" padding as the device computes them fastest, above all dilated ones.

Every ``dilation``-th pixel in both directions is an image of its own, a phase; over the phases a dilated convolution
is a dense one. On CPUs oneDNN computes outputs and the input's gradient as fast dilated as dense, but not the weights'
gradient: in channels-last layout two to three times slower with AVX2, and up to six times on small images with AVX-512.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def same_conv(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1, dilation: int = 1, groups: int = 1
) -> Tensor:
    """[B, C, H, W] -> [B, C', H / stride, W / stride]; the padding is dilation * (kernel - 1) / 2.

    A dilated kernel whose dilation is its stride reads one phase of the image only: it is a dense kernel on that phase.
    The weights of a dilated kernel without stride get their gradient from all phases where that pays. These are the
    sums of ``conv2d`` in another order.
    """
    padding = dilation * (weight.shape[-1] - 1) // 2
    even = x.shape[2] % dilation == 0 and x.shape[3] % dilation == 0
    if dilation > 1 and stride == dilation and even:
        return functional.conv2d(x[..., ::stride, ::stride], weight, bias, 1, padding // dilation, 1, groups)
    if pays(x, stride, dilation):
        return dilated_conv(x, weight, bias, dilation, groups)
    return functional.conv2d(x, weight, bias, stride, padding, dilation, groups)


def pays(x: Tensor, stride: int, dilation: int) -> bool:
    """Whether :func:`dilated_conv` can convolve ``x`` [B, C, H, W], and is faster than ``conv2d``.

    Not under autocast, which does not reach into the gradients of a function.
    """
    if dilation == 1 or stride > 1 or x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return False
    even = x.shape[2] % dilation == 0 and x.shape[3] % dilation == 0
    return even and x.is_contiguous(memory_format=torch.channels_last)


def dilated_conv(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int, groups: int = 1) -> Tensor:
    """[B, C, H, W] -> [B, C', H, W] with "same" padding; ``dilation`` divides H and W. Twice differentiable."""
    return _DilatedConv.apply(x, weight, bias, dilation, groups)


def to_phases(x: Tensor, step: int) -> Tensor:
    """[B, C, H, W] -> [step^2 B, C, H / step, W / step], channels-last; ``step`` divides H and W."""
    batch, channels, height, width = x.shape
    cut = x.permute(0, 2, 3, 1).reshape(batch, height // step, step, width // step, step, channels)
    laid = cut.permute(2, 4, 0, 1, 3, 5).reshape(step * step * batch, height // step, width // step, channels)
    return laid.permute(0, 3, 1, 2)


class _DilatedConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int, groups: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.dilation, ctx.groups = dilation, groups
        return functional.conv2d(x, weight, bias, 1, dilation * (weight.shape[-1] - 1) // 2, dilation, groups)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias, *_ = ctx.needs_input_grad
        to_x = to_weight = to_bias = None
        if of_x:
            to_x, _, _ = _slopes(grad, x, weight, ctx.dilation, ctx.groups, [True, False, False])
        if of_weight or of_bias:
            cut = to_phases(grad, ctx.dilation), to_phases(x, ctx.dilation)
            _, to_weight, to_bias = _slopes(*cut, weight, 1, ctx.groups, [False, of_weight, of_bias])
        return to_x, to_weight, to_bias, None, None


def _slopes(
    grad: Tensor, x: Tensor, weight: Tensor, dilation: int, groups: int, mask: list[bool]
) -> tuple[Tensor | None, ...]:
    """Gradients of input, weight and bias of a convolution with "same" padding, those that ``mask`` names."""
    padding = [dilation * (weight.shape[-1] - 1) // 2] * 2
    return torch.ops.aten.convolution_backward(
        grad, x, weight, [len(weight)], [1, 1], padding, [dilation] * 2, False, [0, 0], groups, mask
    )
