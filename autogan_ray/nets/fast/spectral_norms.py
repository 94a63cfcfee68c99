"""The spectral norms of all layers that a network runs, computed together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from autogan_ray.nets.spectral import SpectralNorm, norm_of, original, sigmas, stacked


@contextmanager
def computed_together(layers: Sequence[nn.Module]) -> Iterator[None]:
    """Inside, each of these layers with spectral norm is called once: their norms are computed now, by shape."""
    by_shape: dict[torch.Size, list[tuple[SpectralNorm, Tensor]]] = {}
    for layer in layers:
        weight = original(layer)
        by_shape.setdefault(weight.shape, []).append((norm_of(layer), weight))
    for alike in by_shape.values():
        norms, weights = zip(*alike, strict=True)
        inverses = sigmas(norms, stacked(weights, not weights[0].is_contiguous())).reciprocal()
        for norm, inverse in zip(norms, inverses.unbind(), strict=True):
            norm.given = inverse
    try:
        yield
    finally:
        for alike in by_shape.values():
            for norm, _ in alike:
                norm.given = None
