"""Compiled networks train to the losses of uncompiled ones: the same graphs, traced forward and backward.

By the backend that traces and does not compile: what it may get wrong is ours (a branch on data, a state that is
changed where the trace does not see it); the kernels behind it are torch's, and take minutes to build.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from autogan_ray.config.sections import ComputeConfig, RetrainConfig
from autogan_ray.nets.compute import compile_forward, configured
from autogan_ray.nets.gan import Discriminator, Generator
from autogan_ray.nets.shape import Shape
from autogan_ray.search.loop import SearchLoop
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.space import SearchSpace
from autogan_ray.training.loop import TrainLoop
from autogan_ray.training.objectives.hinge import Hinge
from tests.search.toys import noise_images, search_of
from tests.spaces.derivation.test_derive import tiny

STEPS = 4
TINY = """
schema = 1
[generator]
kind = "dag"
[generator.choices]
up = ["nearest_conv_1x1", "bilinear_conv_1x1", "deconv_2x2"]
some = ["none", "skip", "conv_1x1", "conv_3x3", "dil_conv_3x3"]
[generator.cell]
nodes = ["a", "out"]
output = "out"
edges = [
    { name = "u0", from = "in", to = "a", choices = "up" },
    { name = "e0", from = "a", to = "out", choices = "some" },
]
[discriminator]
kind = "dag"
[discriminator.choices]
some = ["none", "skip", "conv_1x1", "conv_3x3", "dil_conv_3x3"]
first = ["conv_1x1", "conv_3x3"]
down = ["avg_pool", "down_conv_3x3"]
[discriminator.cell]
nodes = ["a", "out"]
output = "out"
edges = [
    { name = "e0", from = "in", to = "a", choices = "some" },
    { name = "d0", from = "a", to = "out", choices = "down" },
]
[discriminator.first_cell]
e0 = { choices = "first" }
"""


@pytest.fixture
def space() -> SearchSpace:
    return tiny(TINY)


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every loss of D's and G's weights and architectures, in order."""
    found: list[float] = []

    def noted(name: str) -> Callable[..., Tensor]:
        loss = getattr(Hinge, name)

        def note(self: Hinge, *scores: Tensor) -> Tensor:
            value: Tensor = loss(self, *scores)
            found.append(float(value.detach()))
            return value

        return note

    for name in ("loss_d", "loss_g"):
        monkeypatch.setattr(Hinge, name, noted(name))
    return found


def trained(losses: list[float], step: Callable[[], object]) -> list[float]:
    losses.clear()
    for _ in range(STEPS):
        step()
    return losses.copy()


def assert_same(eager: list[float], compiled: list[float]) -> None:
    assert len(eager) >= 2 * STEPS and len(set(eager)) > STEPS  # weights move, and so do the losses
    assert compiled == pytest.approx(eager, rel=1e-4, abs=1e-5)


@pytest.fixture(autouse=True)
def forget_graphs() -> None:
    torch.compiler.reset()


def test_a_retraining(losses: list[float], space: SearchSpace) -> None:
    data, choices = noise_images(), space.random(8, 0).choices
    shape = Shape(8, 1, channels_g=4, channels_d=4, latent_dim=4, norm_g="batch")
    config = RetrainConfig(kimg=1.0, batch_size=8, d_steps_per_g_step=1, lr_g=1e-3, lr_d=1e-3)

    def loop() -> TrainLoop:
        return TrainLoop(
            lambda: (Generator(space, shape, choices), Discriminator(space, shape, choices)), config, data, 0
        )

    eager, compiled = loop(), loop()
    compile_forward(compiled.generator, compiled.discriminator, backend="aot_eager")
    assert_same(trained(losses, eager.step), trained(losses, compiled.step))


def test_a_mixture_whose_dilated_weights_learn_over_phases(space: SearchSpace) -> None:
    compute = ComputeConfig(channels_last=True)
    torch.manual_seed(0)
    eager = configured(Discriminator(space, Shape(16, 3, 4, 4, 4), None), compute, 16)
    compiled = copy.deepcopy(eager)
    compile_forward(compiled, backend="aot_eager")
    images = torch.randn(2, 3, 16, 16)
    shares = {
        decision.name: torch.rand(len(decision.choices)).softmax(0).requires_grad_()
        for decision in space.decisions(16, "d")
    }
    found = []
    for network in (eager, compiled):
        network(images, shares).sum().backward()
        slopes = [weight.grad for weight in network.parameters() if weight.grad is not None]
        found.append([*slopes, *(share.grad for share in shares.values())])
        for share in shares.values():
            share.grad = None
    assert len(found[0]) > 20
    torch.testing.assert_close(*found)


@pytest.mark.parametrize(("name", "network"), [("adversarialnas", "g"), ("adversarialnas", "d"), ("alphagan", "g")])
def test_a_mixture_is_one_graph_whatever_runs_together_in_it(name: str, network: str) -> None:
    """A second one is traced when the plan of a cell is there; a break would be there at every cell and step."""
    whole, shape = load_space(name), Shape(8, 1, 4, 4, 8)
    built = Generator(whole, shape, None) if network == "g" else Discriminator(whole, shape, None)
    decisions = whole.decisions(8, "g") if network == "g" else whole.decisions(8, "d")
    x = torch.randn(2, 8) if network == "g" else torch.randn(2, 1, 8, 8)
    compile_forward(built, backend="eager")
    torch._dynamo.utils.counters.clear()
    for _ in range(3):
        built(x, {one.name: torch.rand(len(one.choices)).softmax(0).requires_grad_() for one in decisions})
    assert not torch._dynamo.utils.counters["graph_break"]
    assert 1 <= torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 2


def test_a_search(losses: list[float], space: SearchSpace) -> None:
    def loop() -> SearchLoop:
        return search_of(noise_images(), "adversarial", space, relaxation="gumbel", warmup=0.0, kimg=0.1)

    eager, compiled = loop(), loop()
    compile_forward(compiled.net.generator, compiled.net.discriminator, backend="aot_eager")
    assert_same(trained(losses, eager.step), trained(losses, compiled.step))
    assert torch.allclose(compiled.net.arch_g.logits, eager.net.arch_g.logits, atol=1e-3)
