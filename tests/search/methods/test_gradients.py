"""Gradients of the logits against finite differences in float64, and planted operations that a search must find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from autogan_ray.nets.relaxation import ArchitectureParameters
from autogan_ray.search.loop import SearchLoop
from autogan_ray.search.methods import unrolled
from autogan_ray.search.methods.adversarial import Adversarial
from autogan_ray.search.methods.base import SearchStep
from autogan_ray.search.methods.duality_gap import DualityGap
from autogan_ray.spaces.space import SearchSpace
from autogan_ray.training.data import ImageData
from autogan_ray.training.schedules import rates_at
from tests.search.toys import noise_images, search_of
from tests.training.objectives import written_out

XI = 0.3
GAMMA = {"hinge": 0.0, "non_saturating": 0.3, "relativistic": 0.3}


def exact(
    space: str, method: str, objective: str = "hinge", **changes: object
) -> tuple[SearchLoop, SearchStep, Tensor, Tensor]:
    """A search in float64 with statistics that stand still, one step of it, held-out images and z.

    Any objective but the hinge takes a penalty, and no spectral norm.
    """
    changes = {"objective": objective, "gamma": GAMMA[objective], **changes}
    loop = search_of(noise_images(), method, space, relaxation="softmax", **changes)
    for network in (loop.net.generator, loop.net.discriminator):
        network.double().eval()
    rng = torch.Generator().manual_seed(1)
    for logits in (loop.net.arch_g, loop.net.arch_d):
        logits.logits.data = torch.randn(logits.logits.shape, generator=rng, dtype=torch.float64) * 0.5
    real, train_real = torch.rand(2, 3, 1, 8, 8, generator=rng, dtype=torch.float64) * 2 - 1
    z, train_z = torch.randn(2, 3, 4, generator=rng, dtype=torch.float64)
    losses, rates = loop._game.losses(0, rng), rates_at(loop.trial.optim, 0.0)
    batches = lambda: train_real, lambda index: train_real, lambda: train_z, lambda: train_z
    return loop, SearchStep(loop.trial.search, "softmax", 1.0, rng, 0, losses, rates, *batches), real, z


def assert_slopes(logits: ArchitectureParameters, gradient: Tensor, loss: Callable[[], Tensor]) -> None:
    """Central differences of ``loss`` along a few random directions equal the gradient's products with them."""
    start, step = logits.logits.data.clone(), 1e-6
    for seed in range(3):
        way = torch.randn(start.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        ends = []
        for sign in (1, -1):
            logits.logits.data = start + sign * step * way
            ends.append(loss().item())
        logits.logits.data = start
        wanted = (ends[0] - ends[1]) / (2 * step)
        assert abs(wanted) > 1e-5
        assert float((gradient * way).sum()) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("network", ["g", "d"])
@pytest.mark.parametrize("objective", GAMMA)
def test_a_first_order_gradient_is_that_of_the_objective_without_its_penalty(objective: str, network: str) -> None:
    loop, step, real, z = exact("adversarialnas", "adversarial", objective)
    net = loop.net
    logits = net.arch_g if network == "g" else net.arch_d
    assert isinstance(loop.method, Adversarial)
    loss = (loop.method.loss_g if network == "g" else loop.method.loss_d)(step, real, z)

    def formula() -> Tensor:
        chosen_g, chosen_d = step.draw(net.arch_g), step.draw(net.arch_d)
        scores = net.discriminator(real, chosen_d), net.discriminator(net.generator(z, chosen_g), chosen_d)
        return (written_out.loss_g if network == "g" else written_out.loss_d)(objective, *scores)

    assert loss.item() == pytest.approx(formula().item(), rel=1e-9)
    (gradient,) = torch.autograd.grad(loss, [logits.logits])
    assert_slopes(logits, gradient, formula)


@pytest.mark.parametrize("network", ["g", "d"])
@pytest.mark.parametrize("objective", GAMMA)
def test_the_unrolled_gradient_is_that_of_the_loss_after_the_virtual_step(objective: str, network: str) -> None:
    space = "autogan/adversarialnas" if network == "d" else "autogan"
    loop, step, real, z = exact(space, "adversarial", objective)
    net = loop.net

    def after_the_step() -> Tensor:
        """Equation 7 by hand: weights moved in place along their gradient, then moved back."""
        chosen_g, chosen_d = step.draw(net.arch_g), step.draw(net.arch_d)

        def judge(images: Tensor) -> Tensor:
            return net.discriminator(images, chosen_d)

        def loss(real: Tensor, z: Tensor, gamma: float = 0.0) -> Tensor:
            fake = net.generator(z, chosen_g)
            if network == "g":
                return written_out.loss_g(objective, judge(real), judge(fake))
            return written_out.whole_loss_d(objective, gamma, judge, real, fake.detach())

        moving = net.generator if network == "g" else net.discriminator
        weights = [*moving.parameters()]
        kept = [weight.detach().clone() for weight in weights]
        training_loss = loss(step.training_images(), step.latents(), GAMMA[objective])
        slopes = torch.autograd.grad(training_loss, weights, allow_unused=True)
        with torch.no_grad():
            for weight, slope in zip(weights, slopes, strict=True):
                weight -= XI * (0 if slope is None else slope)
            found = loss(real, z)
            for weight, before in zip(weights, kept, strict=True):
                weight.copy_(before)
        return found

    logits = net.arch_g if network == "g" else net.arch_d
    if network == "g":
        loss = unrolled.unrolled_loss_g(net, step, real, z, XI)
    else:
        loss = unrolled.unrolled_loss_d(net, step, real, z, XI)
    (gradient,) = torch.autograd.grad(loss, [logits.logits])
    assert loss.item() == pytest.approx(after_the_step().item(), rel=1e-9)
    assert_slopes(logits, gradient, after_the_step)
    if network == "g":  # the term of second order is there: without it the gradient is another
        assert isinstance(loop.method, Adversarial)
        still = loop.method.loss_g(step, real, z)
        (still_gradient,) = torch.autograd.grad(still, [logits.logits])
        assert (still_gradient - gradient).norm() > 1e-2 * gradient.norm()


@pytest.mark.parametrize("network", ["g", "d"])
@pytest.mark.parametrize("objective", GAMMA)
def test_the_gradient_of_the_duality_gap_is_that_of_its_formula_at_constant_opponents(
    objective: str, network: str
) -> None:
    optim = {"lr_g": 1e-3, "lr_d": 1e-3}
    loop, step, real, z = exact("adversarialnas", "duality_gap", objective, optim=optim, gap_inner_steps=2)
    net, method = loop.net, loop.method
    assert isinstance(method, DualityGap)
    worst_g, worst_d = method._worst_g.double().eval(), method._worst_d.double().eval()
    moves_g = network == "g"
    chosen_g = (step.select if moves_g else step.draw)(net.arch_g)
    chosen_d = (step.draw if moves_g else step.select)(net.arch_d)
    gap = method.gap(step, real, z, chosen_g, chosen_d)
    still_g, still_d = step.draw(net.arch_g), step.draw(net.arch_d)

    def formula() -> Tensor:
        fake, now_d = net.generator(z, step.draw(net.arch_g)), step.draw(net.arch_d)
        judged = net.discriminator(real, now_d), net.discriminator(worst_g(z, still_g), now_d)
        most = -written_out.loss_d(objective, worst_d(real, still_d), worst_d(fake, still_d))
        least = -written_out.loss_d(objective, *judged)
        return most - least

    assert gap.item() == pytest.approx(formula().item(), abs=1e-12)
    logits = net.arch_g if moves_g else net.arch_d
    (gradient,) = torch.autograd.grad(gap, [logits.logits])
    assert_slopes(logits, gradient, formula)


@pytest.mark.parametrize("objective", GAMMA)
def test_opponents_that_learn_longer_leave_a_wider_gap(objective: str) -> None:
    gaps = []
    for steps in (1, 20):
        optim = {"lr_g": 3e-3, "lr_d": 3e-3}
        loop, step, *_ = exact("adversarialnas", "duality_gap", objective, optim=optim, gap_inner_steps=steps)
        assert isinstance(loop.method, DualityGap)
        loop.method._worst_g.double().eval(), loop.method._worst_d.double().eval()
        chosen = step.draw(loop.net.arch_g), step.draw(loop.net.arch_d)
        # On the images and z they learn from, so that learning must widen it.
        training, latents = step.training_images(), step.latents()
        gaps.append(float(loop.method.gap(step, training, latents, *chosen)))
    assert gaps[1] > gaps[0] > 0


@pytest.mark.parametrize("method", ["duality_gap", "adversarial"])
def test_virtual_steps_take_a_lazy_penalty_each_time_at_its_plain_weight(method: str) -> None:
    def loss_d(penalty_every: int, step_d: int, gamma: float = 0.3) -> float:
        changes = {"penalty_every": penalty_every, "gamma": gamma, "spectral_norm_d": False}
        optim = {"lr_g": 1e-2, "lr_d": 1e-2}
        loop, step, real, z = exact("adversarialnas", method, "non_saturating", optim=optim, **changes)
        step = replace(step, losses=loop._game.losses(step_d, step.rng))
        if isinstance(loop.method, DualityGap):
            loop.method._worst_g.double().eval(), loop.method._worst_d.double().eval()
            return loop.method.loss_d(step, real, z).item()
        return unrolled.unrolled_loss_d(loop.net, step, real, z, XI).item()

    assert loss_d(1, 0) == loss_d(3, 0) == loss_d(3, 1) != loss_d(1, 0, gamma=0.0)


TOY = {
    "name": "toy",
    "generator": {
        "kind": "dag",
        "norm": "batch",
        "choices": {"up": ["nearest", "deconv_2x2"]},
        "cell": {
            "nodes": ["out"],
            "output": "out",
            "edges": [{"name": "u", "from": "in", "to": "out", "choices": "up"}],
        },
    },
    "discriminator": {
        "kind": "dag",
        "norm": "spectral",
        "choices": {"down": ["down_conv_3x3"]},
        "cell": {
            "nodes": ["out"],
            "output": "out",
            "edges": [{"name": "d", "from": "in", "to": "out", "choices": "down", "activation": False}],
        },
    },
}
"""One cell each; D decides nothing."""


def boards() -> ImageData:
    """Checkerboards of 4 px: neighbours differ, so what repeats each pixel cannot draw them; what has weights of its
    own for each of the four new pixels can."""
    rng = np.random.default_rng(0)
    board = np.indices((4, 4)).sum(0) % 2 * 2 - 1
    shades = rng.choice([-1, 1], (128, 1, 1)) * rng.uniform(60, 120, (128, 1, 1))
    return ImageData.of("boards", (128 + board * shades)[:, None].astype(np.uint8))


@pytest.mark.parametrize("method", ["adversarial", "duality_gap"])
def test_a_plainly_better_operation_wins(method: str) -> None:
    data, space, wins = boards(), SearchSpace.from_dict(TOY), 0
    for seed in range(10):
        loop = search_of(
            data,
            method,
            space,
            seed=seed,
            relaxation="softmax",
            gap_inner_steps=1,
            kimg=0.2,
            batch_size=8,
            warmup=0.2,
            optim={"lr_g": 0.04, "lr_d": 0.03, "lr_arch_g": 0.4},
            model={"channels_g": 4, "channels_d": 8, "head_d": "flatten"},
        )
        while loop.step_d < loop.total_steps:
            loop.step()
        wins += loop.net.genotype().choices["g.cell1.u"] == "deconv_2x2"
    assert wins >= 9
