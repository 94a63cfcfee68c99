"""An image as its phases: every ``step``-th pixel in both directions is an image of its own, laid into the batch.

A dilated convolution is a dense one over the phases. The copies are written so that each moves whole rows of a phase,
and each is the other's derivative, as often as one likes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


def pays(x: Tensor, stride: int, dilation: int) -> bool:
    """Whether a convolution of ``x`` [B, C, H, W] is to run over phases: it can, and it is faster.

    That is on a CPU in channels-last layout: two to three times in the backward pass.
    """
    even = x.shape[2] % dilation == 0 and x.shape[3] % dilation == 0
    last = x.device.type == "cpu" and x.is_contiguous(memory_format=torch.channels_last)
    return dilation > 1 and stride == 1 and even and last


def to_phases(x: Tensor, step: int) -> Tensor:
    """[B, C, H, W] -> [step^2 B, C, H / step, W / step]; ``step`` divides H and W."""
    return _ToPhases.apply(x, step)


def from_phases(phases: Tensor, step: int) -> Tensor:
    """The inverse of :func:`to_phases`."""
    return _FromPhases.apply(phases, step)


def add_phases(total: Tensor, phases: Tensor, step: int) -> Tensor:
    """``total + from_phases(phases)``, added in place: no backward pass may have kept ``total``."""
    return _AddPhases.apply(total, phases, step)


class _ToPhases(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, step: int) -> Tensor:
        ctx.step = step
        batch, channels, height, width = x.shape
        cut = x.permute(0, 2, 3, 1).reshape(batch, height // step, step, width // step, step, channels)
        laid = cut.permute(2, 4, 0, 1, 3, 5).reshape(step * step * batch, height // step, width // step, channels)
        return laid.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return from_phases(grad, ctx.step), None


class _FromPhases(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, phases: Tensor, step: int) -> Tensor:
        ctx.step = step
        count, channels, height, width = phases.shape
        shape = count // (step * step), channels, height * step, width * step
        x = torch.empty(shape, dtype=phases.dtype, device=phases.device, memory_format=torch.channels_last)
        for place, phase in _each(x, phases, step):
            place.copy_(phase)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return to_phases(grad, ctx.step), None


class _AddPhases(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, total: Tensor, phases: Tensor, step: int) -> Tensor:
        ctx.step = step
        ctx.mark_dirty(total)
        for place, phase in _each(total, phases, step):
            place.add_(phase)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return grad, to_phases(grad, ctx.step) if ctx.needs_input_grad[1] else None, None


def _each(x: Tensor, phases: Tensor, step: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(where in ``x`` a phase stands, the phase), for each."""
    for number, phase in enumerate(phases.chunk(step * step)):
        row, column = divmod(number, step)
        yield x[..., row::step, column::step], phase
