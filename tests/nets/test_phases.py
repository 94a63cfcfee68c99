"""Phases of an image, and sums in place: inverses of each other, twice differentiable, nothing else written to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from autogan_ray.nets.phases import add_phases, from_phases, to_phases
from autogan_ray.nets.total import Total


def image(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, 3, 6, 12, dtype=dtype).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("step", [2, 3])
def test_a_phase_is_every_nth_pixel(step: int) -> None:
    x = image()
    cut = to_phases(x, step).unflatten(0, (step, step, 2))
    for row in range(step):
        for column in range(step):
            assert torch.equal(cut[row, column], x[..., row::step, column::step])
    assert torch.equal(from_phases(to_phases(x, step), step), x)


@pytest.mark.parametrize("step", [2, 3])
def test_they_can_be_differentiated_twice(step: int) -> None:
    x = image()[:1, :1].requires_grad_()
    phases = to_phases(torch.randn_like(x), step).detach().requires_grad_()
    for form, given in [
        (lambda x: to_phases(x, step), (x,)),
        (lambda phases: from_phases(phases, step), (phases,)),
        (lambda x, phases: add_phases(x * 1.0, phases, step), (x, phases)),
    ]:

        def squared(*given: Tensor, form: Callable[..., Tensor] = form) -> Tensor:
            return form(*given) ** 2  # so that the second derivative is not zero

        assert torch.autograd.gradcheck(squared, given)
        assert torch.autograd.gradgradcheck(squared, given)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_phases_are_added_in_any_layout(layout: torch.memory_format) -> None:
    total, other = image().contiguous(memory_format=layout), image()
    assert torch.equal(add_phases(total.clone(), to_phases(other, 2), 2), total + other)


def test_a_total_writes_to_what_is_fresh_alone() -> None:
    for fresh in (False, True):
        parts = [image() for _ in range(3)]
        before, total = [part.clone() for part in parts], Total()
        total.add(parts[0], fresh=fresh)
        total.add(None)
        total.add_product(torch.tensor(0.5).double(), parts[1])
        total.add_phases(to_phases(parts[2], 2), 2)
        torch.testing.assert_close(total.value, before[0] + 0.5 * before[1] + before[2])
        assert (total.value is parts[0]) == fresh
        assert torch.equal(parts[1], before[1]) and torch.equal(parts[2], before[2])
        assert torch.equal(parts[0], before[0]) != fresh


def test_a_total_has_the_larger_precision_of_its_parts() -> None:
    half, whole = image(torch.bfloat16), image(torch.float32)
    for first, second in ((half, whole), (whole, half)):
        for how in ("add", "add_product", "add_phases"):
            total = Total()
            total.add(first.clone(), fresh=True)
            if how == "add_product":
                total.add_product(torch.tensor(1.0), second)
            elif how == "add_phases":
                total.add_phases(to_phases(second, 2), 2)
            else:
                total.add(second)
            assert total.value is not None and total.value.dtype == torch.float32
            assert torch.equal(total.value, half + whole)


def test_writing_to_what_a_backward_pass_keeps_is_an_error_not_a_wrong_gradient() -> None:
    x = image().requires_grad_()
    kept, total = x.exp(), Total()
    total.add(kept, fresh=True)  # not true of exp, which keeps its output
    total.add(image())
    assert total.value is not None
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.value.sum().backward()
