"""Every objective against its formula written out, its gradients against differences, its penalty in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from autogan_ray.config.training import OWN_GAMMA, GameConfig
from autogan_ray.nets.gan import Discriminator
from autogan_ray.nets.relaxation import one_hot
from autogan_ray.nets.shape import Shape
from autogan_ray.spaces.load import load_space
from autogan_ray.training.game import Game, Losses
from autogan_ray.training.objectives.registry import objective_named
from tests.training.objectives import written_out

OBJECTIVES = tuple(OWN_GAMMA)


def scores(seed: int, count: int = 7) -> Tensor:
    return 2 * torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_losses_of_scores_are_the_written_formulas(name: str) -> None:
    objective, real, fake = objective_named(name), scores(1), scores(2)
    assert objective.loss_d(real, fake).item() == pytest.approx(written_out.loss_d(name, real, fake).item(), rel=1e-12)
    assert objective.loss_g(fake, real).item() == pytest.approx(written_out.loss_g(name, real, fake).item(), rel=1e-12)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_very_sure_scores_give_finite_losses(name: str) -> None:
    real, fake = torch.full((4,), 3e4), torch.full((4,), -3e4)
    for pair in ((real, fake), (fake, real)):
        assert math.isfinite(objective_named(name).loss_d(*pair)) and math.isfinite(objective_named(name).loss_g(*pair))


def test_a_relativistic_loss_knows_no_level_and_pairs_more_fakes_with_real_images_from_the_beginning_again() -> None:
    objective, real, fake = objective_named("relativistic"), scores(1, 3), scores(2, 7)
    pairs = [(real[index % 3], fake[index]) for index in range(7)]
    wanted = sum(math.log1p(math.exp(float(x - f))) for x, f in pairs) / 7
    assert objective.loss_g(fake, real).item() == pytest.approx(wanted, rel=1e-12)
    assert objective.loss_g(fake + 5, real + 5).item() == pytest.approx(wanted, rel=1e-12)
    assert objective.loss_d(real, real).item() == pytest.approx(math.log(2), rel=1e-12)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_penalty_of_a_linear_discriminator_is_half_gamma_times_its_squared_weights(name: str) -> None:
    weight, gamma = torch.randn(3 * 4 * 4, dtype=torch.float64), 0.7
    images = torch.randn(2, 5, 3, 4, 4, dtype=torch.float64)
    losses = Losses(objective_named(name), gamma / 2)
    found = losses.of_d(lambda x: x.flatten(1) @ weight, *images)
    taken_at = 2 if name == "relativistic" else 1
    wanted = gamma / 2 * taken_at * weight.square().sum().item()
    assert (found.total - found.loss).item() == pytest.approx(wanted, rel=1e-12)


def small_discriminator(space: str) -> tuple[Callable[[Tensor], Tensor], Discriminator]:
    """A supernet in float64 without spectral norms, as a function of images at one mixture, and the supernet itself."""
    torch.manual_seed(0)
    shape = Shape(8, 1, channels_d=3, spectral_norm_d=False)
    network = Discriminator(load_space(space), shape, None).double().eval()
    decisions = load_space(space).decisions(8, "d")
    rng = torch.Generator().manual_seed(3)
    mixture = {d.name: torch.rand(len(d.choices), generator=rng, dtype=torch.float64).softmax(0) for d in decisions}
    return lambda x: network(x, mixture), network


@pytest.mark.parametrize("space", ["adversarialnas", "autogan/fixed", "autogan/eagan"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients_of_the_whole_loss_are_those_of_the_formula_and_of_differences(name: str, space: str) -> None:
    judge, network = small_discriminator(space)
    rng = torch.Generator().manual_seed(5)
    real, fake = torch.rand(2, 3, 1, 8, 8, generator=rng, dtype=torch.float64) * 2 - 1
    weights = [*network.parameters()]

    def gradient(loss: Tensor) -> Tensor:
        slopes = torch.autograd.grad(loss, weights, allow_unused=True)
        return torch.cat(
            [(torch.zeros_like(w) if s is None else s).flatten() for w, s in zip(weights, slopes, strict=True)]
        )

    losses = Losses(objective_named(name), 0.4)
    ours = losses.of_d(judge, real, fake).total
    theirs = written_out.whole_loss_d(name, 0.8, judge, real, fake)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    slopes = gradient(ours)
    assert float((slopes - gradient(theirs)).abs().max()) < 1e-11 * float(slopes.abs().max())
    way = torch.randn(len(slopes), generator=rng, dtype=torch.float64)
    ends = []
    for sign in (1, -1):
        moved = [
            sign * 1e-6 * piece.view_as(w)
            for w, piece in zip(weights, way.split([w.numel() for w in weights]), strict=True)
        ]
        with torch.no_grad():
            torch._foreach_add_(weights, moved)
        ends.append(losses.of_d(judge, real, fake).total.item())
        with torch.no_grad():
            torch._foreach_sub_(weights, moved)
    assert float(slopes @ way) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4)


def test_a_discriminator_that_is_all_none_has_no_gradient_and_no_penalty() -> None:
    losses = Losses(objective_named("relativistic"), 1.0)
    found = losses.of_d(lambda x: torch.zeros(len(x)), torch.ones(2, 1, 4, 4), torch.ones(2, 1, 4, 4))
    assert found.total.item() == pytest.approx(math.log(2)) and not found.total.requires_grad


def test_a_lazy_penalty_weighs_as_much_in_the_mean_and_follows_its_schedule() -> None:
    rng = torch.Generator()
    every = Game(GameConfig(objective="relativistic", gamma=2.0), 12)
    lazy = Game(GameConfig(objective="relativistic", gamma=2.0, penalty_every=4), 12)
    assert [every.losses(step, rng).penalty for step in range(4)] == [1.0] * 4
    assert [lazy.losses(step, rng).penalty for step in range(8)] == [4.0, 0, 0, 0] * 2
    assert [game.losses(step, rng).steady.penalty for game in (every, lazy) for step in range(8)] == [1.0] * 16
    falling = Game(GameConfig(objective="relativistic", gamma=2.0, gamma_end=0.2, gamma_schedule="linear"), 10)
    assert [falling.losses(step, rng).penalty for step in (0, 5, 10)] == pytest.approx([1.0, 0.55, 0.1])


def test_each_objective_takes_its_own_penalty_and_spectral_norm_unless_it_is_told() -> None:
    def in_force(**settings: object) -> tuple[float, bool]:
        game = GameConfig.model_validate(settings)
        return game.gamma_in_force, game.spectral_norm_in_force

    assert in_force() == (0.0, True)
    assert in_force(objective="relativistic") == in_force(objective="non_saturating") == (1.0, False)
    assert in_force(objective="relativistic", gamma=0) == (0.0, True)
    assert in_force(objective="hinge", gamma=0.1) == (0.1, False)
    assert in_force(objective="relativistic", spectral_norm_d=True) == (1.0, True)


@pytest.mark.parametrize("space", ["adversarialnas", "autogan/fixed", "handmade"])
def test_without_spectral_norms_a_discriminator_has_the_same_weights_and_divides_none(space: str) -> None:
    whole, networks = load_space(space), []
    for spectral_norm in (True, False):
        torch.manual_seed(0)
        shape = Shape(16, 3, channels_d=4, spectral_norm_d=spectral_norm)
        networks.append(Discriminator(whole, shape, None))
    with_norm = {
        name.replace(".parametrizations.weight.original", ".weight"): p for name, p in networks[0].named_parameters()
    }
    without = dict(networks[1].named_parameters())
    assert with_norm.keys() == without.keys()
    assert all(torch.equal(with_norm[name], without[name]) for name in without)
    assert not any(isinstance(m, nn.utils.parametrize.ParametrizationList) for m in networks[1].modules())
    path = one_hot({d.name: d.choices[-1] for d in whole.decisions(16, "d")}, whole.decisions(16, "d"))
    doubled = networks[1](torch.ones(1, 3, 16, 16), path)
    with torch.no_grad():
        for name, weight in without.items():
            if name.startswith("head") and weight.ndim == 2:
                weight *= 2
    if "head.bias" not in without and "head.weight" in without:
        assert torch.allclose(networks[1](torch.ones(1, 3, 16, 16), path), 2 * doubled)
