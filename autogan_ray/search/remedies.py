"""Applies the remedies of a trial around the steps of its search, whatever its method.

What they do follows from the step and the logits, so a search that is saved and loaded goes on exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook

from autogan_ray.config.remedies import check_space
from autogan_ray.config.study import TrialConfig
from autogan_ray.nets.cost.expected import expected_cost
from autogan_ray.nets.supernet import Supernet
from autogan_ray.search.penalties import penalty
from autogan_ray.search.shrinking import shrink


class Remedies:
    """The remedies of one search.

    Args:
        net: the supernet.
        trial: the resolved configuration.
        total_steps: of D, in the whole search.

    Raises ConfigError where the space gives a remedy nothing to work on.
    """

    def __init__(self, net: Supernet, trial: TrialConfig, total_steps: int) -> None:
        self._net, self._search, self._settings = net, trial.search, trial.remedies
        self._total = total_steps
        check_space(trial, net.space, net.shape.image_size)
        self._costs = {
            network: expected_cost(net.space, net.shape, network, self._settings.cost)
            for network in net.space.networks
            if getattr(self._settings, f"cost_weight_{network}")
        }
        # The first step at or behind each part of the search; the last step where there is none behind it.
        self._shrink_steps = [min(math.ceil(part * total_steps), total_steps - 1) for part in self._settings.shrink_at]

    @contextmanager
    def during(self, step: int) -> Iterator[None]:
        """Applies the remedies to the step, numbered from 0, that the block makes."""
        for _ in range(self._shrink_steps.count(step)):
            self._shrink()
        with self._auxiliary_skips(self.auxiliary(step)), self._penalised(step):
            yield

    @contextmanager
    def _auxiliary_skips(self, b: float) -> Iterator[None]:
        """Draws mixtures with auxiliary skips while the block runs; mixtures that are scored have none."""
        both = self._net.arch_g, self._net.arch_d
        for logits in both:
            logits.auxiliary = b
        try:
            yield
        finally:
            for logits in both:
                logits.auxiliary = 0.0

    @contextmanager
    def _penalised(self, step: int) -> Iterator[None]:
        """Adds the penalty's gradient to that of the logits while the block runs, whichever optimiser moves them."""
        if not self._settings.penalised:
            yield
            return
        hook = register_optimizer_step_pre_hook(lambda optimizer, args, kwargs: self._add(optimizer, step))
        try:
            yield
        finally:
            hook.remove()

    def auxiliary(self, step: int) -> float:
        """Returns b of the auxiliary skip: the setting at the first step, 0 at the last."""
        return self._settings.auxiliary_skip * (1 - step / (self._total - 1)) if self._total > 1 else 0.0

    def _progress(self, step: int) -> float:
        """Returns 0 at the end of the warm-up, 1 at the last step."""
        start = self._search.warmup * self._total
        return min(1.0, max(0.0, (step - start) / max(1.0, self._total - 1 - start)))

    def _shrink(self) -> None:
        net = self._net
        shrink(net.arch_g, net.space, net.shape.image_size, net.rules)
        if self._search.search_d:  # else its logits are the noise they started as
            shrink(net.arch_d, net.space, net.shape.image_size, net.rules)

    def _add(self, optimizer: Optimizer, step: int) -> Any:
        net = self._net
        moved = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        logits = [arch.logits for arch in (net.arch_g, net.arch_d) if id(arch.logits) in moved]
        if not logits:
            return None  # weights
        with torch.enable_grad():
            loss = penalty(net.arch_g, net.arch_d, self._settings, self._progress(step), self._costs)
        if loss.requires_grad:
            for parameter, grad in zip(logits, torch.autograd.grad(loss, logits, allow_unused=True), strict=True):
                if grad is not None:
                    parameter.grad = grad if parameter.grad is None else parameter.grad + grad
        return None
