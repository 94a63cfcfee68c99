"""The straight-through factor: the product with 1, its gradients, and theirs."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from autogan_ray.nets.fast.operation import straight_through


def test_first_and_second_derivatives_are_those_of_a_product_with_one() -> None:
    weight = torch.randn(3, dtype=torch.float64, requires_grad=True)
    scale, x = torch.ones((), dtype=torch.float64, requires_grad=True), torch.randn(4, 3, dtype=torch.float64)
    found = []
    for form in (straight_through, lambda y, scale: scale * y):
        y = form((x * weight).tanh(), scale)
        slopes = torch.autograd.grad((y**2).sum(), [weight, scale], create_graph=True)
        curved = torch.autograd.grad((slopes[0] ** 2).sum() + slopes[1] ** 2, [weight, scale])
        found.append((y, *slopes, *curved))
    assert float(found[0][4].abs()) > 0.01, "how the scale changes the weights' gradient counts where it is asked for"
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_it_multiplies_no_activation_forward_and_no_gradient_of_weights_backward() -> None:
    products = []

    class Noting(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            products.append(func is torch.ops.aten.mul.Tensor)
            return func(*args, **(kwargs or {}))

    x, scale = torch.randn(4, 3, requires_grad=True), torch.ones(())
    with Noting():
        straight_through(x, scale).sum().backward()
    assert not any(products) and x.grad is not None and torch.equal(x.grad, torch.ones_like(x))
