"""Numbers that change along a training, as functions of its progress alone, so that a resumed run goes on exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch.optim import Optimizer

from autogan_ray.config.training import WeightsConfig


def scheduled(schedule: str, start: float, end: float, progress: float) -> float:
    """Returns ``start`` at progress 0 and ``end`` at progress 1.

    ``exponential``: start * (end / start) ** progress, as the published AdversarialNAS temperature falls from 5 to 0.1;
    ``linear``; ``cosine``: end + (start - end) * (1 + cos(pi * progress)) / 2; ``constant``: start.
    """
    progress = min(max(progress, 0.0), 1.0)
    if schedule == "constant":
        return start
    if schedule == "linear":
        return start + (end - start) * progress
    if schedule == "cosine":
        return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
    assert schedule == "exponential", schedule
    return float(start * (end / start) ** progress)


@dataclass(frozen=True)
class Rates:
    """The learning rates of both networks' weights at a step, and Adam's betas."""

    lr_g: float
    lr_d: float
    betas: tuple[float, float]


def rates_at(config: WeightsConfig, progress: float) -> Rates:
    """Returns the rates and betas at a progress from 0 to 1."""
    if config.schedule == "constant":
        return Rates(config.lr_g, config.lr_d, config.betas)
    along = max(0.0, progress - config.schedule_from) / (1 - config.schedule_from)
    left = scheduled(config.schedule, 1.0, config.lr_end, along)
    beta1, beta2 = config.betas
    end = beta2 if config.beta2_end is None else config.beta2_end
    if end != beta2:
        beta2 = scheduled(config.schedule, beta2, end, along)
    return Rates(config.lr_g * left, config.lr_d * left, (beta1, beta2))


def set_rates(config: WeightsConfig, adam_g: Optimizer, adam_d: Optimizer, progress: float) -> None:
    """Gives both networks' optimisers their rates and betas at a progress from 0 to 1.

    A constant schedule changes nothing.
    """
    if config.schedule == "constant":
        return
    rates = rates_at(config, progress)
    for optimizer, rate in ((adam_g, rates.lr_g), (adam_d, rates.lr_d)):
        for group in optimizer.param_groups:
            group["lr"], group["betas"] = rate, rates.betas
