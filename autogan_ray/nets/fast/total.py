"""A sum that grows in place: each part is read once, and no further tensor of its size is made."""

from __future__ import annotations

import torch
from torch import Tensor


class Total:
    """What has been added so far is ``value``; None of nothing.

    In place is right where no backward pass has kept the sum, and where nobody else holds it. So a part is written to
    only if the caller says that it is ``fresh``: the output of a convolution, of a batch norm or of a product with a
    share is; a node's value is not, which an edge ``skip`` hands on as it is. Autograd would notice a write to what a
    backward pass has kept, but nobody would notice one to another node's value.
    """

    __slots__ = ("_own", "value")

    def __init__(self) -> None:
        self.value: Tensor | None = None
        self._own = False

    def add(self, part: Tensor | None, fresh: bool = False) -> None:
        """Adds ``part``; ``fresh``: it may be written to."""
        if part is None:
            return
        if self.value is None:
            self.value, self._own = part, fresh
        elif self._writable(part):
            self.value.add_(part)
        elif fresh and part.dtype == self.value.dtype:
            self.value, self._own = part.add_(self.value), True
        else:
            self.value, self._own = torch.add(self.value, part), True

    def add_product(self, share: Tensor, x: Tensor) -> None:
        """Adds ``share * x``, with a 0-dim ``share``."""
        if self.value is not None and self._writable(x):
            self.value.addcmul_(x, share)
        else:
            self.add(share * x, fresh=True)

    def _writable(self, part: Tensor) -> bool:
        """Also in precision: autocast mixes two, whose sum has the larger one."""
        return self._own and self.value is not None and self.value.dtype == part.dtype
