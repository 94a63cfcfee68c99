"""Multiply-accumulates of single operations and of networks with attention, against torch's own counter."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from autogan_ray.nets.cost.count import count_macs, genotype_cost
from autogan_ray.nets.cost.expected import expected_cost
from autogan_ray.nets.gan import Discriminator
from autogan_ray.nets.ops import BUILDERS, OpSpec, build_op
from autogan_ray.nets.shape import Shape
from autogan_ray.spaces.load import load_space


def counted(network: torch.nn.Module, example: torch.Tensor) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(example)
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("side", [6, 7])
@pytest.mark.parametrize("name", BUILDERS)
def test_macs_of_every_operation_are_those_of_torchs_counter(name: str, side: int) -> None:
    module, example = build_op(name, OpSpec(16, 16)), torch.randn(2, 16, side, side)
    assert count_macs(module, example) == counted(module, example)


def test_a_discriminator_with_attention_is_counted_and_priced_with_its_matrix_products() -> None:
    space, shape = load_space("modern"), Shape(32, 3, 8, 64, 12)
    choices = {d.name: next(c for c in d.choices if c != "skip") for d in space.decisions(32)}
    without = choices | {"d.cell1.attend": "skip"}
    with torch.device("meta"):
        network, image = Discriminator(space, shape, choices), torch.empty(1, 3, 32, 32)
        wanted = counted(network, image)
    found, less = (genotype_cost(space, shape, space.genotype(one, 32))["macs_d"] for one in (choices, without))
    # 256 pixels meet 64 pooled ones in 8 + 32 channels; 1x1 convolutions to 8, 8 and 32 channels, and from 32.
    assert found == wanted and found - less == 256 * 64 * 40 + 256 * 64 * (8 + 8 + 32 + 32)
    price = expected_cost(space, shape, "d", "macs").prices[frozenset({("d.cell1.attend", "attention")})]
    assert price == found - less
