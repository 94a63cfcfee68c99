"""A dilated convolution whose weights learn over phases: that of torch, values and every derivative."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from autogan_ray.nets.fast import dilated
from autogan_ray.nets.fast.dilated import dilated_conv, same_conv, to_phases


def image(channels: int = 4, side: int = 12) -> Tensor:
    x = torch.randn(2, channels, side, side + 6, dtype=torch.float64)
    return x.contiguous(memory_format=torch.channels_last).requires_grad_()


def torchs(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int, groups: int = 1) -> Tensor:
    return functional.conv2d(x, weight, bias, 1, dilation * (weight.shape[-1] - 1) // 2, dilation, groups)


@pytest.mark.parametrize("step", [2, 3])
def test_a_phase_is_every_nth_pixel(step: int) -> None:
    x = image()
    cut = to_phases(x, step).unflatten(0, (step, step, 2))
    for row in range(step):
        for column in range(step):
            assert torch.equal(cut[row, column], x[..., row::step, column::step])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize(("kernel", "dilation"), [(1, 2), (3, 2), (5, 2), (3, 3)])
def test_values_and_gradients_are_those_of_torch(kernel: int, dilation: int, groups: int, bias: bool) -> None:
    x = image()
    weight = torch.randn(8, 4 // groups, kernel, kernel, dtype=torch.float64, requires_grad=True)
    shift = torch.randn(8, dtype=torch.float64, requires_grad=True) if bias else None
    given = [one for one in (x, weight, shift) if one is not None]
    slopes = torch.randn(2, 8, 12, 18, dtype=torch.float64)
    found = []
    for form in (dilated_conv, torchs):
        y = form(x, weight, shift, dilation, groups)
        found.append((y, *torch.autograd.grad(y, given, slopes)))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_it_can_be_differentiated_twice() -> None:
    x, shift = image(2, 6).detach()[:1].requires_grad_(), torch.randn(2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)

    def squared(*given: Tensor) -> Tensor:
        return dilated_conv(*given, 2) ** 2  # so that the second derivative is not zero

    assert torch.autograd.gradcheck(squared, (x, weight, shift))
    assert torch.autograd.gradgradcheck(squared, (x, weight, shift))


@pytest.mark.parametrize("frozen", [True, False])
def test_the_weights_gradient_is_a_dense_convolutions_and_made_only_if_asked_for(frozen: bool) -> None:
    dilations = []

    class Noting(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func is torch.ops.aten.convolution_backward.default:
                dilations.append((args[6][0], args[-1]))
            return func(*args, **(kwargs or {}))

    x, weight = image(), torch.randn(4, 4, 5, 5, dtype=torch.float64, requires_grad=not frozen)
    y = same_conv(x, weight, None, dilation=2)
    with Noting():
        y.sum().backward()
    weights = [] if frozen else [(1, [False, True, False])]
    assert dilations == [(2, [True, False, False]), *weights]


def test_it_is_left_to_torch_where_it_does_not_pay() -> None:
    x = image()
    assert dilated.pays(x, 1, 2)
    assert not dilated.pays(x, 1, 1) and not dilated.pays(x, 2, 2)
    assert not dilated.pays(x[..., 1:], 1, 2), "an odd side has no phases of equal size"
    assert not dilated.pays(x.contiguous(), 1, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert not dilated.pays(x.float(), 1, 2)
