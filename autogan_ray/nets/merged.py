"""Convolutions that read the same tensor, as one: their kernels, padded to one support, are added with their shares.

sum_k w_k (W_k * x + b_k) = (sum_k w_k W_k) * x + sum_k w_k b_k: exact for any kernels of one stride whose centres
agree, spectral norm included (it only rescales W_k). Five convolutions of an AdversarialNAS edge become two, and one
activation is kept for the backward pass instead of ten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from autogan_ray.nets import phases
from autogan_ray.nets.branch import Branch
from autogan_ray.nets.ops import same_conv
from autogan_ray.nets.tap import Tap
from autogan_ray.nets.total import Total

Places = tuple[tuple[int, int], ...]
"""Of each member: (kernel side, spacing of its taps in the common kernel)."""


@dataclass(frozen=True, eq=False)  # compared by identity: torch.compile hashes it before it has its fields
class Group:
    """Convolutions with one lead and stride that share a kernel of ``side`` taps at ``dilation``.

    ``members``: index among the decision's choices, and the layer.
    """

    lead: str
    side: int
    dilation: int
    stride: int
    members: tuple[tuple[int, nn.Conv2d], ...]

    def onto(self, total: Total, tap: Tap, weights: Tensor) -> None:
        """Adds the group's weighted sum. Args: weights: of all choices of the decision [choices]."""
        layers = [layer for _, layer in self.members]
        shares = weights[[index for index, _ in self.members]]
        places = tuple((layer.kernel_size[0], layer.dilation[0] // self.dilation) for layer in layers)
        kernel = _Merge.apply(shares, self.side, places, *(layer.weight for layer in layers))
        biases = [layer.bias for layer in layers if layer.bias is not None]
        bias = shares @ torch.stack(biases) if biases else None
        if phases.pays(tap.lead(self.lead), self.stride, self.dilation):
            laid = tap.phases(self.lead, self.dilation)
            total.add_phases(functional.conv2d(laid, kernel, bias, padding=self.side // 2), self.dilation)
        else:
            total.add(same_conv(tap.lead(self.lead), kernel, bias, self.stride, self.dilation), fresh=True)


def group_convolutions(branches: Sequence[tuple[int, Branch]]) -> tuple[list[Group], list[tuple[int, Branch]]]:
    """(groups, the branches that belong to none), for the branches of one place.

    A dilated kernel joins the dense one where that is large enough anyway; else it stands with its own dilation.
    """
    sets: dict[tuple[str, int, bool], list[tuple[int, nn.Conv2d]]] = {}
    left = []
    for index, branch in branches:
        layer = branch.layers[0] if len(branch.layers) == 1 else None
        if isinstance(layer, nn.Conv2d) and layer.groups == 1:
            sets.setdefault((branch.lead, layer.stride[0], layer.bias is not None), []).append((index, layer))
        else:
            left.append((index, branch))
    groups: list[Group] = []
    for (lead, stride, _), members in sets.items():
        groups += _by_dilation(lead, stride, members)
    return groups, left


def _by_dilation(lead: str, stride: int, members: list[tuple[int, nn.Conv2d]]) -> list[Group]:
    dense = max((layer.kernel_size[0] for _, layer in members if layer.dilation[0] == 1), default=0)
    found: dict[int, list[tuple[int, nn.Conv2d]]] = {}
    for index, layer in members:
        span = layer.dilation[0] * (layer.kernel_size[0] - 1) + 1
        found.setdefault(1 if span <= dense else layer.dilation[0], []).append((index, layer))
    return [
        Group(
            lead, dense if dilation == 1 else max(one.kernel_size[0] for _, one in some), dilation, stride, tuple(some)
        )
        for dilation, some in found.items()
    ]


class _Merge(torch.autograd.Function):
    """(shares [n], kernels) -> their weighted sum [C_out, C_in, side, side]; twice differentiable."""

    @staticmethod
    def forward(ctx: Any, shares: Tensor, side: int, places: Places, *kernels: Tensor) -> Tensor:
        ctx.save_for_backward(shares, *kernels)
        ctx.places = places
        largest = max(kernels, key=lambda kernel: kernel.shape[-1])
        shape = (*largest.shape[:2], side, side)
        merged = torch.zeros(shape, dtype=largest.dtype, device=largest.device)
        if largest.is_contiguous(memory_format=torch.channels_last):
            merged = merged.contiguous(memory_format=torch.channels_last)
        for share, kernel, place in zip(shares.unbind(), kernels, places, strict=True):
            _window(merged, place).addcmul_(kernel, share)
        return merged

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        shares, *kernels = ctx.saved_tensors
        windows = [_window(grad, place) for place in ctx.places]
        to_shares = None
        if ctx.needs_input_grad[0]:
            to_shares = torch.stack([(w * k).sum() for w, k in zip(windows, kernels, strict=True)])
        to_kernels = [
            window * share if wanted else None
            for window, share, wanted in zip(windows, shares.unbind(), ctx.needs_input_grad[3:], strict=True)
        ]
        return to_shares, None, None, *to_kernels


def _window(kernel: Tensor, place: tuple[int, int]) -> Tensor:
    """The taps of a common kernel that a member of ``place`` covers."""
    size, step = place
    start = (kernel.shape[-1] - (step * (size - 1) + 1)) // 2
    part = slice(start, start + step * (size - 1) + 1, step)
    return kernel[..., part, part]
