"""What remedies add to the loss of the logits: functions of the logits alone, whatever the search method.

All are finite, and so are their gradients, where choices were dropped and their probability is exactly 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from autogan_ray.nets.expected_cost import ExpectedCost
from autogan_ray.nets.relaxation import ArchitectureParameters
from autogan_ray.remedies import RemediesConfig


def penalty(
    arch_g: ArchitectureParameters,
    arch_d: ArchitectureParameters,
    settings: RemediesConfig,
    progress: float,
    costs: Mapping[str, ExpectedCost],
) -> Tensor:
    """Sum over both networks, 0-dim; neither's part depends on the other's logits.

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
    """Mean over decisions of entropy / log(number of choices at the beginning), 0 to 1; 0 where nothing is decided.

    The gradient pushes to the choice that leads already, and is 0 at uniform probabilities.
    """
    most = [math.log(len(decision.choices)) for decision in logits.decisions]
    rows = [row for row, bits in enumerate(most) if bits > 0]
    if not rows:
        return logits.logits.new_zeros(())
    log_p = logits.log_probabilities()[rows]
    # A dropped choice has p = 0 and log p = -inf, whose product is NaN and not the limit 0.
    terms = log_p.exp() * log_p.masked_fill(log_p.isneginf(), 0.0)
    return -(terms.sum(1) / log_p.new_tensor([most[row] for row in rows])).mean()


def zero_one(logits: ArchitectureParameters) -> Tensor:
    """-mean((p - 0.5)^2) over all choices of decisions with more than one, -0.25 to 0."""
    counts = [len(decision.choices) for decision in logits.decisions]
    rows = [row for row, count in enumerate(counts) if count > 1]
    if not rows:
        return logits.logits.new_zeros(())
    shares = logits.log_probabilities()[rows].exp()
    number = sum(counts[row] for row in rows)
    # Rows are padded to the widest with p = 0, each of which brings 0.25 that is none of the choices'.
    padding = (shares.numel() - number) * 0.25
    return -(((shares - 0.5) ** 2).sum() - padding) / number


def relative_cost(logits: ArchitectureParameters, cost: ExpectedCost) -> Tensor:
    """Expected cost over that at uniform probabilities: 1 at the beginning."""
    return cost(logits.log_probabilities().exp()) / cost.uniform
