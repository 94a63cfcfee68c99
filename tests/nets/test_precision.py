"""Under ``precision = "bf16"`` every discriminator ends in float32: its head, and with it the scores."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autogan_ray.config.sections import ComputeConfig
from autogan_ray.nets.compute import configured
from autogan_ray.nets.gan import Discriminator
from autogan_ray.nets.relaxation import Selection
from autogan_ray.nets.shape import Shape
from autogan_ray.spaces.blocks import WholePart
from autogan_ray.spaces.load import load_space
from autogan_ray.training.game import squared_gradients

HALF = ComputeConfig(precision="bf16")
CLASSES = 10
HANDMADE = load_space("handmade").discriminator
assert isinstance(HANDMADE, WholePart)


def built(name: str, choice: str | None, classes: int = 0) -> Discriminator:
    torch.manual_seed(0)
    space, shape = load_space(name), Shape(16, 1, 8, 8, 12, class_shares=(0.1,) * classes)
    choices = dict(space.random(16, 0).choices) if choice is None else {"d.whole.network": choice}
    return configured(Discriminator(space, shape, choices), HALF, 16)


def has_low_bits(scores: Tensor) -> bool:
    """Whether numbers use the bits that bf16 has not."""
    return scores.dtype == torch.float32 and bool((scores.detach().view(torch.int32) & 0xFFFF).any())


@pytest.mark.parametrize(
    ("name", "choice", "classes"),
    [
        *(("handmade", network, 0) for network in HANDMADE.networks),
        ("handmade", "biggan", CLASSES),
        *((name, None, 0) for name in ("adversarialnas", "autogan/fixed", "modern")),
    ],
)
def test_head_and_scores_are_float32(name: str, choice: str | None, classes: int) -> None:
    network, seen, convolved = built(name, choice, classes), list[torch.dtype](), list[torch.dtype]()
    for key, module in network.named_modules():
        if key.split(".")[-1] in ("head", "embedding", "basis"):
            module.register_forward_hook(lambda module, given, out: seen.extend((given[0].dtype, out.dtype)))
        elif isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda module, given, out: convolved.append(out.dtype))
    images = (torch.rand(6, 1, 16, 16) * 2 - 1).requires_grad_()
    more = {"classes": torch.eye(CLASSES)[:6]} if classes else {}
    scores = network(images, **more)
    assert has_low_bits(scores)
    assert set(seen) == {torch.float32} and set(convolved) <= {torch.bfloat16}
    squared_gradients(scores, images).sum().backward()  # of second order, as a gradient penalty asks


def test_a_mixture_of_hand_made_discriminators_has_float32_scores() -> None:
    torch.manual_seed(0)
    network = configured(Discriminator(load_space("handmade"), Shape(16, 1, 8, 8, 12), None), HALF, 16)
    selection: Selection = {"d.whole.network": torch.tensor([0.5, 0.3, 0.2])}
    assert has_low_bits(network(torch.rand(6, 1, 16, 16) * 2 - 1, selection))
