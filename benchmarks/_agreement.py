"""Whether the product and the plain form are the same mathematics: scores and gradients from the same weights.

Both run what is timed: whole iterations with all four updates, from the same weights, images, latents and noise, at
learning rates so small that weights stay where they are. Every score that D gave on the way and every gradient that the
iteration left must be equal up to rounding, and sampled images up to one 8-bit level. On the CPU, in float64, at narrow
widths: what is equal there is the formula, whatever the width and precision. (In float32 a ReLU whose input is 0 but
for rounding lets a gradient through on one side only, and a small tensor differs by more than rounding explains.)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from _setups import Setup
from _sides import Side, plain, product
from torch import Tensor, nn

TOLERANCE = 1e-6
"""Of a difference against the tensor's own norm. Rounding gives up to 1e-11; a wrong formula 1e-2 and more."""
FLOOR = 1e-2
"""Tensors smaller than this part of the largest are compared with that part: some gradients are 0 but for rounding,
as those of a bias before a batch norm, and there rounding is 1e-6 of the largest tensor and all of the small one."""


class Disagreement(Exception):
    """Product and plain form are not the same mathematics; the message names the largest difference."""


def compare(setup: Setup) -> dict[str, float]:
    """What was compared -> largest relative difference.

    Args:
        setup: narrow and still.

    Raises:
        Disagreement: one is above the tolerance.
    """
    cpu = torch.device("cpu")
    with _float64():
        return differences(product(setup, cpu), plain(setup, cpu))


def differences(side: Side, other: Side) -> dict[str, float]:
    """As :func:`compare`, for sides that were made already."""
    largest: dict[str, float] = {}
    left, right = _scores_and_gradients(side), _scores_and_gradients(other)
    for what in left:
        largest[what] = _difference(left[what], right[what])
        if not largest[what] <= TOLERANCE:
            raise Disagreement(f"{what}: relative difference {largest[what]:.2g}, where {TOLERANCE:g} is rounding")
    levels = int((side.sample().int() - other.sample().int()).abs().max())
    if levels > 1:
        raise Disagreement(f"sampled images differ by {levels} of 255 levels, where 1 is rounding")
    return largest | {"sampled levels": float(levels)}


def _scores_and_gradients(side: Side) -> dict[str, dict[str, Tensor]]:
    """Those of one iteration of a search and one step of a retraining."""
    found: dict[str, dict[str, Tensor]] = {}
    networks = side.networks()
    for task in ("search", "retrain"):
        with _scores_of(networks[f"{task}_d"]) as scores:
            side.search() if task == "search" else side.retrain()
        found[f"{task}: scores of D"] = {"scores": torch.cat(scores)}
        for network in ("g", "d"):
            named = networks[f"{task}_{network}"].named_parameters()
            found[f"{task}: gradients of {network.upper()}"] = {name: _gradient(p) for name, p in named}
    for name, logits in side.logits().items():
        found[f"search: gradients of {name}"] = {name: _gradient(logits)}
    return found


@contextmanager
def _float64() -> Iterator[None]:
    """What is made inside, and every latent, is float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _as_weights(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Images of the data set come in float32, whatever the weights are."""
    images, *rest = inputs
    return images.to(next(module.parameters()).dtype), *rest


@contextmanager
def _scores_of(discriminator: nn.Module) -> Iterator[list[Tensor]]:
    """All that it answers inside, in order."""
    scores: list[Tensor] = []
    hooks = (
        discriminator.register_forward_pre_hook(_as_weights),
        discriminator.register_forward_hook(lambda module, inputs, output: scores.append(output.detach().clone())),
    )
    try:
        yield scores
    finally:
        for hook in hooks:
            hook.remove()


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.detach()


def _difference(left: dict[str, Tensor], right: dict[str, Tensor]) -> float:
    """Largest over tensors of ||left - right|| / ||right||; infinite where names or shapes differ."""
    if {name: t.shape for name, t in left.items()} != {name: t.shape for name, t in right.items()}:
        return float("inf")
    norms = {name: float(tensor.double().norm()) for name, tensor in right.items()}
    least = FLOOR * max(norms.values(), default=0.0)
    return max(
        (float((left[name].double() - right[name].double()).norm()) / max(norms[name], least, 1e-30) for name in right),
        default=0.0,
    )
