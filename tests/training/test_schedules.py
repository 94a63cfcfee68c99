"""Schedules of rates, beta2 and averages in closed form."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autogan_ray.config.training import WeightsConfig
from autogan_ray.training.schedules import set_rates
from autogan_ray.training.steps import Ema, adam


def rates(config: WeightsConfig, progress: float) -> tuple[float, float, float]:
    adam_g, adam_d = (adam([nn.Parameter(torch.zeros(1))], lr, config.betas) for lr in (config.lr_g, config.lr_d))
    set_rates(config, adam_g, adam_d, progress)
    (group_g,), (group_d,) = adam_g.param_groups, adam_d.param_groups
    assert group_g["betas"] == group_d["betas"] and group_g["betas"][0] == config.betas[0]
    return group_g["lr"], group_d["lr"], group_g["betas"][1]


def test_a_constant_schedule_leaves_rates_and_beta2() -> None:
    config = WeightsConfig(lr_g=1e-3, lr_d=2e-3, beta2_end=0.99)
    assert rates(config, 0.0) == rates(config, 1.0) == (1e-3, 2e-3, 0.9)


def test_rates_fall_linearly_from_where_the_schedule_begins() -> None:
    config = WeightsConfig(lr_g=1e-3, lr_d=2e-3, schedule="linear", schedule_from=0.5, lr_end=0.1, beta2_end=0.99)
    assert rates(config, 0.0) == rates(config, 0.5) == (1e-3, 2e-3, 0.9)
    assert rates(config, 0.75) == pytest.approx((0.55e-3, 1.1e-3, 0.945))
    assert rates(config, 1.0) == pytest.approx((1e-4, 2e-4, 0.99))


def test_a_cosine_is_halfway_in_the_middle_and_flat_at_both_ends() -> None:
    config = WeightsConfig(lr_g=1.0, lr_d=1.0, schedule="cosine")
    assert rates(config, 0.5)[0] == pytest.approx(0.5) and rates(config, 1.0)[0] == pytest.approx(0.0, abs=1e-12)
    assert 1 - rates(config, 0.01)[0] < 1e-3


def averaged(unbiased: bool, decay: float = 0.9, updates: int = 3) -> float:
    network = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(100.0)
    ema = Ema(network, decay, unbiased)
    for value in range(1, updates + 1):
        with torch.no_grad():
            network.weight.fill_(float(value))
        ema.update()
    return ema.network(torch.ones(1, 1)).item()


def test_an_unbiased_average_is_the_weighted_mean_of_trained_weights_alone() -> None:
    parts = [0.1 * 0.9**2 * 1, 0.1 * 0.9 * 2, 0.1 * 3]
    assert averaged(unbiased=False) == pytest.approx(0.9**3 * 100 + sum(parts), rel=1e-5)
    assert averaged(unbiased=True) == pytest.approx(sum(parts) / (1 - 0.9**3), rel=1e-5)
    assert averaged(unbiased=True, updates=1) == 1.0 and averaged(unbiased=True, decay=0.0) == 3.0


def test_an_unbiased_average_goes_on_from_its_state() -> None:
    network = nn.Linear(3, 3)
    straight, begun = Ema(network, 0.9, True), Ema(network, 0.9, True)
    for ema in (straight, begun):
        ema.update()
    resumed = Ema(nn.Linear(3, 3), 0.9, True)
    resumed.load_state_dict(begun.state_dict())
    resumed._live = straight._live
    with torch.no_grad():
        network.weight += 1
    straight.update(), resumed.update()
    assert torch.equal(straight.state_dict()["weight"], resumed.state_dict()["weight"])


def test_a_half_life_in_images_is_the_same_at_every_batch_size() -> None:
    config = WeightsConfig(ema_half_life_kimg=1.0)
    assert config.decay(50) ** 20 == pytest.approx(0.5) and config.decay(200) ** 5 == pytest.approx(0.5)
    assert WeightsConfig(ema=0.99).decay(50) == 0.99
