"""Sums in place: equal to sums, and nothing else is written to."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from autogan_ray.nets.fast.shared_input import RunningSum


def image(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, 3, 6, 12, dtype=dtype).contiguous(memory_format=torch.channels_last)


def test_a_running_sum_writes_to_fresh_terms_alone() -> None:
    for fresh in (False, True):
        parts = [image() for _ in range(3)]
        before, total = [part.clone() for part in parts], RunningSum()
        total.add(parts[0], fresh=fresh)
        total.add_product(torch.tensor(0.5).double(), parts[1])
        total.add(parts[2])
        torch.testing.assert_close(total.value, before[0] + 0.5 * before[1] + before[2])
        assert (total.value is parts[0]) == fresh
        assert torch.equal(parts[1], before[1]) and torch.equal(parts[2], before[2])
        assert torch.equal(parts[0], before[0]) != fresh


def test_a_running_sum_has_the_larger_precision_of_its_terms() -> None:
    half, whole = image(torch.bfloat16), image(torch.float32)
    for first, second in ((half, whole), (whole, half)):
        for how in ("add", "add_product"):
            total = RunningSum()
            total.add(first.clone(), fresh=True)
            if how == "add_product":
                total.add_product(torch.tensor(1.0), second)
            else:
                total.add(second)
            assert total.value is not None and total.value.dtype == torch.float32
            assert torch.equal(total.value, half + whole)


def test_writing_to_what_a_backward_pass_keeps_is_an_error_not_a_wrong_gradient() -> None:
    x = image().requires_grad_()
    kept, total = x.exp(), RunningSum()
    total.add(kept, fresh=True)  # not true of exp, which keeps its output
    total.add(image())
    assert total.value is not None
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.value.sum().backward()


def test_a_fresh_term_takes_the_sum_where_the_sum_may_not_be_written_to() -> None:
    node, part, total = image(), image(), RunningSum()
    before, wanted = node.clone(), node + part
    total.add(node)
    total.add(part, fresh=True)
    assert total.value is part and torch.equal(part, wanted) and torch.equal(node, before)
