"""What several operations read, computed once, and sums that grow in place."""

from __future__ import annotations

from collections.abc import Mapping, Set

import torch
from torch import Tensor
from torch.nn import functional

VALUE, RELU, BILINEAR_RELU = "value", "relu", "bilinear_relu"
"""What an operation reads of a node: its value; its ReLU; the ReLU of it at twice the side, bilinearly interpolated."""


class SharedInput:
    """The value of one node in one forward pass, with what operations make of it before their own weights.

    In the plain form each operation of a mixture applies a ReLU of its own, and autograd keeps every copy for the
    backward pass. Here all operations that read the node have one in common.
    """

    __slots__ = ("_made", "value")

    def __init__(self, value: Tensor) -> None:
        self.value = value
        self._made: dict[str, Tensor] = {VALUE: value}

    def read(self, what: str) -> Tensor:
        """:data:`VALUE`, :data:`RELU` or :data:`BILINEAR_RELU` of the node."""
        if what not in self._made:
            if what == RELU:
                self._made[what] = functional.relu(self.value)
            else:
                assert what == BILINEAR_RELU, what
                larger = functional.interpolate(self.value, scale_factor=2, mode="bilinear", align_corners=False)
                self._made[what] = functional.relu(larger)
        return self._made[what]


class NodeInputs(dict[str, SharedInput]):
    """node -> its shared input, in one forward pass of a cell."""

    def __init__(self, inputs: Mapping[str, SharedInput]) -> None:
        super().__init__(inputs)
        self._side_by_side: dict[tuple[str, ...], SharedInput] = {}

    def side_by_side(self, nodes: tuple[str, ...]) -> SharedInput:
        """Nodes of one image side, one behind the other along their channels."""
        if len(nodes) == 1:
            return self[nodes[0]]
        if nodes not in self._side_by_side:
            self._side_by_side[nodes] = SharedInput(torch.cat([self[node].value for node in nodes], dim=1))
        return self._side_by_side[nodes]

    def keep(self, nodes: Set[str]) -> None:
        """Forgets all other nodes and what was put side by side: where no backward pass keeps them, memory is freed."""
        self._side_by_side.clear()
        for node in [node for node in self if node not in nodes]:
            del self[node]


class RunningSum:
    """A sum that grows in place: each term is read once, and no further tensor of its size is made.

    ``value`` is what has been added so far, None before the first term. Writing in place is right where no backward
    pass has kept the sum, and where nobody else holds it. So a term is written to only if the caller says that it is
    ``fresh``: the output of a convolution, of a batch norm or of a product with an architecture weight is. A node's
    value is not, which an edge ``skip`` hands on as it is. Autograd would notice a write to what a backward pass has
    kept, but nobody would notice a write to another node's value.
    """

    __slots__ = ("_owned", "value")

    def __init__(self) -> None:
        self.value: Tensor | None = None
        self._owned = False

    def add(self, term: Tensor, fresh: bool = False) -> None:
        """Adds ``term``, which may be written to where it is ``fresh``."""
        if self.value is None:
            self.value, self._owned = term, fresh
        elif self._writable(term):
            self.value.add_(term)
        elif fresh and term.dtype == self.value.dtype:
            self.value, self._owned = term.add_(self.value), True
        else:
            self.value, self._owned = torch.add(self.value, term), True

    def add_product(self, weight: Tensor, x: Tensor) -> None:
        """Adds ``weight * x``, with a 0-dim ``weight``."""
        if self.value is not None and self._writable(x):
            self.value.addcmul_(x, weight)
        else:
            self.add(weight * x, fresh=True)

    def _writable(self, term: Tensor) -> bool:
        """Whether the sum may take the term in place: also in precision, as a sum has the larger one of two."""
        return self._owned and self.value is not None and self.value.dtype == term.dtype
