"""A tensor that several operations read, with what they make of it before their own weights, computed once."""

from __future__ import annotations

from collections.abc import Mapping, Set

import torch
from torch import Tensor
from torch.nn import functional

VALUE, RELU, BILINEAR_RELU = "value", "relu", "bilinear_relu"
"""The tensor itself; its ReLU; the ReLU of it at twice the side, interpolated bilinearly."""


class Tap:
    """One node's value in one forward pass.

    A textbook mixture applies its own ReLU in each of its operations, and autograd keeps every copy for the backward
    pass; here all operations that read the node share one.
    """

    __slots__ = ("_made", "value")

    def __init__(self, value: Tensor) -> None:
        self.value = value
        self._made: dict[str, Tensor] = {VALUE: value}

    def lead(self, kind: str) -> Tensor:
        """The value as ``kind`` says: :data:`VALUE`, :data:`RELU` or :data:`BILINEAR_RELU`."""
        if kind not in self._made:
            if kind == RELU:
                self._made[kind] = functional.relu(self.value)
            else:
                assert kind == BILINEAR_RELU, kind
                larger = functional.interpolate(self.value, scale_factor=2, mode="bilinear", align_corners=False)
                self._made[kind] = functional.relu(larger)
        return self._made[kind]


class Taps(dict[str, Tap]):
    """node -> its tap, of one forward pass of a cell."""

    def __init__(self, taps: Mapping[str, Tap]) -> None:
        super().__init__(taps)
        self._joined: dict[tuple[str, ...], Tap] = {}

    def joined(self, nodes: tuple[str, ...]) -> Tap:
        """Nodes of one image side, side by side along their channels, for all that reads them so."""
        if len(nodes) == 1:
            return self[nodes[0]]
        if nodes not in self._joined:
            self._joined[nodes] = Tap(torch.cat([self[node].value for node in nodes], dim=1))
        return self._joined[nodes]

    def keep(self, nodes: Set[str]) -> None:
        """Let go of all other nodes, and of what was joined: where no backward pass keeps them, they make room."""
        self._joined.clear()
        for node in [node for node in self if node not in nodes]:
            del self[node]
