"""A sum that grows in place: each part is read once, and no further tensor of its size is made."""

from __future__ import annotations

import torch
from torch import Tensor

from autogan_ray.nets.phases import add_phases, from_phases


class Total:
    """What has been added so far is :attr:`value`; None of nothing.

    In place is right where no backward pass has kept the sum, and where nobody else holds it. So a part is written to
    only if the caller says that it is ``fresh``: the output of a convolution, of a batch norm or of a product with a
    share is; a node's value is not, which an edge ``skip`` hands on as it is. Autograd would notice a write to what a
    backward pass has kept, but nobody would notice one to another node's value.

    What comes as phases is added up as phases, and laid out as an image once.
    """

    __slots__ = ("_own", "_phases", "_sum")

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._own = False
        self._phases: dict[int, Total] = {}

    @property
    def value(self) -> Tensor | None:
        """The sum; more may be added afterwards."""
        for step, phases in self._phases.items():
            laid = phases.value
            assert laid is not None
            if self._sum is not None and self._writable(laid):
                self._sum = add_phases(self._sum, laid, step)
            else:
                self.add(from_phases(laid, step), fresh=True)
        self._phases.clear()
        return self._sum

    def add(self, part: Tensor | None, fresh: bool = False) -> None:
        """Adds ``part``; ``fresh``: it may be written to."""
        if part is None:
            return
        if self._sum is None:
            self._sum, self._own = part, fresh
        elif self._writable(part):
            self._sum.add_(part)
        elif fresh and part.dtype == self._sum.dtype:
            self._sum, self._own = part.add_(self._sum), True
        else:
            self._sum, self._own = torch.add(self._sum, part), True

    def add_product(self, share: Tensor, x: Tensor) -> None:
        """Adds ``share * x``, with a 0-dim ``share``."""
        if self._sum is not None and self._writable(x):
            self._sum.addcmul_(x, share)
        else:
            self.add(share * x, fresh=True)

    def add_phases(self, phases: Tensor, step: int, fresh: bool = False) -> None:
        """Adds what has ``phases`` (see :mod:`~autogan_ray.nets.phases`)."""
        self._phases.setdefault(step, Total()).add(phases, fresh)

    def _writable(self, part: Tensor) -> bool:
        """Also in precision: autocast mixes two, whose sum has the larger one."""
        return self._own and self._sum is not None and self._sum.dtype == part.dtype
