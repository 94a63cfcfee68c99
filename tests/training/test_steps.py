"""Steps of the weights: a long gradient is clipped to its norm, a short one and no clipping leave it as it is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autogan_ray.nets.gan import Discriminator, Generator
from autogan_ray.nets.shape import Shape
from autogan_ray.spaces.load import load_space
from autogan_ray.training.game import HINGE
from autogan_ray.training.steps import adam, discriminator_step, generator_step

LR, BETA, EPS = 0.1, 0.9, 1e-8


def networks(name: str = "adversarialnas") -> tuple[Generator, Discriminator]:
    space, shape = load_space(name), Shape(8, 1, channels_g=4, channels_d=4, latent_dim=6, norm_g="batch")
    torch.manual_seed(3)
    choices = space.random(8, 1).choices
    generator, discriminator = Generator(space, shape, choices), Discriminator(space, shape, choices)
    # Without spectral norm's iterations, which move at each pass.
    return generator.double().eval(), discriminator.double().eval()


def inputs() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    return torch.rand(5, 1, 8, 8, generator=rng).double(), torch.randn(5, 6, generator=rng).double()


def gradients(which: str) -> list[Tensor]:
    """Of the network's loss to each of its weights, without the code under test."""
    (generator, discriminator), (real, z) = networks(), inputs()
    if which == "g":
        loss, weights = HINGE.objective.loss_g(discriminator(generator(z)), None), [*generator.parameters()]
    else:
        scores = discriminator(torch.cat([real, generator(z).detach()]))
        loss, weights = HINGE.objective.loss_d(scores[:5], scores[5:]), [*discriminator.parameters()]
    found = torch.autograd.grad(loss, weights, allow_unused=True)
    return [torch.zeros_like(w) if g is None else g for w, g in zip(weights, found, strict=True)]


def stepped(which: str, clip: float | None) -> list[Tensor]:
    """The network's weights after one step."""
    (generator, discriminator), (real, z) = networks(), inputs()
    weights = [*(generator if which == "g" else discriminator).parameters()]
    optimizer = adam(weights, LR, (0.0, BETA), clip_grad_norm=clip)
    if which == "g":
        generator_step(generator, discriminator, optimizer, z, [discriminator])
    else:
        discriminator_step(generator, discriminator, optimizer, real, z)
    return [weight.detach() for weight in weights]


@pytest.mark.parametrize("which", ["g", "d"])
def test_a_step_is_adams_on_the_gradient_scaled_down_to_the_norm(which: str) -> None:
    found = gradients(which)
    norm = sum((gradient**2).sum() for gradient in found) ** 0.5
    # So far down that Adam, which would divide a common factor out again, feels it beside its epsilon.
    clip = 1e-7
    assert norm > 1e-2
    (generator, discriminator), after = networks(), stepped(which, clip)
    for weight, gradient, moved in zip(
        (generator if which == "g" else discriminator).parameters(), found, after, strict=True
    ):
        scaled = gradient * clip / (norm + 1e-6)
        # Adam's first step with betas (0, .9): both moments are free of bias, so they are the gradient and its square.
        expected = weight.detach() - LR * scaled / (scaled.abs() + EPS)
        torch.testing.assert_close(moved, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("which", ["g", "d"])
def test_a_gradient_below_the_norm_and_none_to_clip_to_change_no_bit(which: str) -> None:
    off = stepped(which, None)
    assert all(torch.equal(one, other) for one, other in zip(off, stepped(which, 1e6), strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(off, stepped(which, 1e-7), strict=True))


def test_without_clipping_a_step_is_torchs_adam_bit_for_bit() -> None:
    plain, ours = (nn.Linear(3, 2) for _ in range(2))
    ours.load_state_dict(plain.state_dict())
    theirs = torch.optim.Adam([*plain.parameters()], lr=LR, betas=(0.0, BETA), fused=True)
    mine = adam([*ours.parameters()], LR, (0.0, BETA))
    for _ in range(4):
        for network, optimizer in ((plain, theirs), (ours, mine)):
            optimizer.zero_grad()
            (1e3 * network(torch.ones(1, 3))).square().sum().backward()
            optimizer.step()
    assert torch.equal(plain.weight, ours.weight) and torch.equal(plain.bias, ours.bias)


def test_the_norm_is_of_all_weights_together_and_those_without_a_gradient_do_not_count() -> None:
    weights = [nn.Parameter(torch.zeros(1)) for _ in range(3)]
    optimizer = adam(weights, LR, (0.0, BETA), clip_grad_norm=1.0)
    weights[0].grad, weights[1].grad = torch.tensor([3.0]), torch.tensor([4.0])
    optimizer.step()
    seen = [weight.grad.item() for weight in weights[:2] if weight.grad is not None]
    assert seen == pytest.approx([0.6, 0.8], rel=1e-5)
    assert weights[2].grad is None and weights[2].item() == 0
