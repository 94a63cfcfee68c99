"""What remedies add to the loss of the logits: functions of the logits alone, whatever the search method.

They are finite, and so are their gradients, where choices were dropped and their probability is exactly 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from autogan_ray.config.sections import RemediesConfig
from autogan_ray.nets.cost.expected import ExpectedCost
from autogan_ray.nets.relaxation import ArchitectureParameters


def penalty(
    arch_g: ArchitectureParameters,
    arch_d: ArchitectureParameters,
    settings: RemediesConfig,
    progress: float,
    costs: Mapping[str, ExpectedCost],
) -> Tensor:
    """Returns the sum over both networks, 0-dim; the part of a network depends on its own logits alone.

    Args:
        progress: 0 at the end of the warm-up, 1 at the end of the search.
        costs: ``g`` and ``d``, where the settings give its cost a weight.
    """
    total = torch.zeros((), dtype=arch_g.logits.dtype, device=arch_g.logits.device)
    for network, logits, cost_weight in (("g", arch_g, settings.cost_weight_g), ("d", arch_d, settings.cost_weight_d)):
        if settings.entropy_weight:
            total = total + settings.entropy_weight * progress * mean_entropy(logits)
        if settings.zero_one_weight:
            total = total + settings.zero_one_weight * zero_one(logits)
        if cost_weight:
            total = total + cost_weight * relative_cost(logits, costs[network])
    return total


def mean_entropy(logits: ArchitectureParameters) -> Tensor:
    """Returns the mean over decisions of entropy / log(number of choices at first), 0 to 1; 0 without decisions.

    The gradient pushes to the choice that leads already, and is 0 at uniform probabilities.
    """
    rows = sum(len(decision.choices) > 1 for decision in logits.decisions)
    if not rows:
        return logits.logits.new_zeros(())
    log_p = logits.log_probabilities()
    # A dropped choice has p = 0 and log p = -inf, whose product is NaN and not the limit 0.
    terms = log_p.exp() * log_p.masked_fill(log_p.isneginf(), 0.0)
    most = logits.contested.sum(1).clamp_min(2).to(log_p.dtype).log()  # a single choice has no entropy to be divided
    return -(terms.sum(1) / most).sum() / rows


def zero_one(logits: ArchitectureParameters) -> Tensor:
    """Returns -mean((p - 0.5)^2) over all choices of decisions with more than one, -0.25 to 0."""
    number = sum(len(decision.choices) for decision in logits.decisions if len(decision.choices) > 1)
    if not number:
        return logits.logits.new_zeros(())
    distances = (logits.log_probabilities().exp() - 0.5).masked_fill(~logits.contested, 0.0)
    return -(distances**2).sum() / number


def relative_cost(logits: ArchitectureParameters, cost: ExpectedCost) -> Tensor:
    """Returns the expected cost over the cost at uniform probabilities: 1 at the beginning."""
    return cost(logits.log_probabilities().exp()) / cost.uniform
