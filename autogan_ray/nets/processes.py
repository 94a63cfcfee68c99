"""One network trained by several processes, each with a copy of it and with a part of every batch.

They do what one process would do, up to rounding. Each draws the random numbers of the whole batch, from the same
streams, and takes every ``count``-th row from its rank on; the gradients are averaged before each step of an optimiser,
so the copies stay equal. Rows are taken in turn, and not in blocks, because that keeps together what belongs together:
the own rows of a concatenation are the concatenation of the own rows, and the same holds for a batch that is repeated
(as long as ``count`` divides every size).

What mixes the rows of a batch needs the other processes: batch norms are replaced by :class:`SharedBatchNorm2d`. A
forward pass of such a network is one that all processes make; the average of a generator's weights, which the first
process alone evaluates, is a copy from before that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed, nn

Rows = TypeVar("Rows", Tensor, np.ndarray)
Result = TypeVar("Result")


class ProcessLost(RuntimeError):
    """Another process of the same network has ended, or cannot be reached."""


@dataclass(frozen=True)
class Processes:
    """This process among those that train a network; with ``count`` 1 every method does nothing.

    Args:
        rank: number of this process, from 0.
        count: of the processes.

    All methods but :meth:`own` are to be called by all processes in the same order, with ``torch.distributed``
    initialised; they raise ProcessLost where another process has ended.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that scores the network and saves it."""
        return self.rank == 0

    def own(self, rows: Rows) -> Rows:
        """Returns this process's rows [B / count, ...] of those of the whole batch [B, ...]."""
        return rows[self.rank :: self.count] if self.count > 1 else rows

    def told(self, find: Callable[[], Result]) -> Result:
        """Returns what ``find`` returns in the first process, where alone it is called; the others wait for it."""
        if self.count == 1:
            return find()
        box = [find() if self.first else None]
        with _all_reached():
            distributed.broadcast_object_list(box, src=0)
        found: Any = box[0]
        return found

    def each(self, value: Result) -> list[Result]:
        """Returns the values of all processes, in the order of their ranks."""
        values: list[Any] = [value] * self.count
        if self.count > 1:
            with _all_reached():
                distributed.all_gather_object(values, value)
        return values

    def mean(self, value: float | None) -> float | None:
        """Returns the mean of a number over all processes; None where it is None, which it is in all or in none."""
        if self.count == 1 or value is None:
            return value
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        total = torch.tensor(value, dtype=torch.float64, device=device)
        _add_up(total)
        return float(total) / self.count

    def average(self, weights: Sequence[nn.Parameter]) -> None:
        """Replaces the gradient of each weight by its mean over all processes."""
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        if self.count == 1 or not gradients:
            return
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        _add_up(flat)
        parts = flat.div_(self.count).split([gradient.numel() for gradient in gradients])
        torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients, strict=True)])

    def gathered(self, x: Tensor) -> Tensor:
        """Returns the tensors [...] of all processes, in the order of their ranks, as one [count, ...].

        It can be differentiated as often as one likes: the losses of all processes flow back into ``x``.
        """
        mine = torch.arange(self.count, device=x.device) == self.rank
        return _Sum.apply(mine.view(-1, *[1] * x.ndim) * x)


ALONE = Processes()


class SharedBatchNorm2d(nn.BatchNorm2d):
    """A batch norm whose mean and variance, in training mode, are those of the batches of all processes together.

    (``torch.nn.SyncBatchNorm`` does the same on GPUs alone, and cannot be differentiated twice.)
    """

    processes = ALONE

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        values = x if x.dtype == torch.float64 else x.float()
        own_var, own_mean = torch.var_mean(values, dim=(0, 2, 3), correction=0)
        means, variances = self.processes.gathered(torch.stack([own_mean, own_var])).unbind(dim=1)
        mean, var = means.mean(dim=0), variances.mean(dim=0) + means.var(dim=0, correction=0)
        self._track(mean.detach(), var.detach(), values.numel() // values.shape[1] * self.processes.count)
        scale = torch.rsqrt(var + self.eps)
        if self.affine:
            scale = scale * self.weight
        y = (values - mean.view(-1, 1, 1)) * scale.view(-1, 1, 1)
        return (y + self.bias.view(-1, 1, 1) if self.affine else y).to(x.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor, values: int) -> None:
        """Moves the running statistics as ``nn.BatchNorm2d`` does.

        Args:
            values: that mean and variance were taken of.
        """
        assert self.momentum is not None and self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
        self.running_var.lerp_((var * (values / max(values - 1, 1))).to(self.running_var), self.momentum)


def divide(network: nn.Module, processes: Processes) -> None:
    """Has a network, in training mode, compute its part of each batch as one process computes the whole batch.

    What draws numbers of its own for each image has an attribute ``processes``, as batch norms get it here. The names
    and values of the network's state stay as they are.
    """
    if processes.count == 1:
        return
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = SharedBatchNorm2d
        if hasattr(module, "processes"):
            setattr(module, "processes", processes)  # noqa: B010  (mypy knows no such attribute of a module)


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.contiguous().clone()
        _add_up(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _Sum.apply(grad)


def _add_up(x: Tensor) -> None:
    """Replaces a contiguous tensor by its sum over all processes."""
    with _all_reached():
        distributed.all_reduce(x)


@contextmanager
def _all_reached() -> Iterator[None]:
    """Raises, for whatever torch raises in the block, ProcessLost: gloo and NCCL have an error of their own each."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessLost(f"another process of this network has ended or cannot be reached: {error}") from error
