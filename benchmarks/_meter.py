"""What a call computes and keeps, counted and not sampled: the same on every run and on every machine.

Counted are eager torch operations. What a compiled or a captured kernel does inside is not seen here.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


@dataclass(frozen=True)
class Counted:
    """Of one call.

    Args:
        flops: of its convolutions and matrix products, by torch's own formulas; a multiply-add is two.
        result_bytes: of the results of these, each once: what must be written to memory at least.
        peak_bytes: most bytes of tensors that were made inside and alive at one time, gradients included. Scratch
            memory inside of a kernel is not among them.
        saved_bytes: most bytes that autograd kept at one time for backward passes, without weights.
        operations: that compute, so without looks at the same memory: on a GPU each launches a kernel or a few.
    """

    flops: int
    result_bytes: int
    peak_bytes: int
    saved_bytes: int
    operations: int


_NOTHING = ("empty", "new_empty", "_unsafe_view")
"""Begin the names of operations that neither look at known memory nor compute."""


def count(call: Callable[[], Any], kept: list[Tensor]) -> Counted:
    """Runs ``call`` twice. Args: kept: tensors that live on anyway, such as weights: saving one costs nothing."""
    meter = _Meter()
    with meter:
        call()
    with saved_for_backward(kept) as saved:
        call()
    return Counted(meter.flops, meter.result_bytes, meter.live.peak, saved.peak, meter.operations)


class _Live:
    """Bytes of storages that are alive, and the most there were."""

    def __init__(self) -> None:
        self.now = self.peak = 0

    def add(self, count: int) -> None:
        self.now += count
        self.peak = max(self.peak, self.now)


class _Meter(TorchDispatchMode):
    """Sees every operation, forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = self.result_bytes = self.operations = 0
        self.live = _Live()
        self._known: set[int] = set()
        self._simple: set[Any] = {torch.ops.prim.device.default}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func._overloadpacket
        if packet not in flop_registry and func not in self._simple:
            with self:  # an operation made of others is counted by these
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
            self._simple.add(func)
        for tensor in _tensors((args, *kwargs.values())):
            self._know(tensor, 0)
        out = func(*args, **kwargs)
        self.operations += not (func.is_view or packet.__name__.startswith(_NOTHING))
        results = _tensors(out)
        for tensor in results:
            self._know(tensor, tensor.untyped_storage().nbytes())
        if packet in flop_registry:
            self.flops += flop_registry[packet](*args, **kwargs, out_val=out)
            self.result_bytes += sum(tensor.nbytes for tensor in results)
        return out

    def _know(self, tensor: Tensor, size: int) -> None:
        """From now until its storage dies, the tensor counts with ``size`` bytes; once."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        self.live.add(size)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live.add(-size)


def _tensors(tree: Any) -> list[Tensor]:
    """Those among an operation's arguments or results; lists of them are as deep as these go."""
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, list | tuple):
        return [tensor for part in tree for tensor in _tensors(part)]
    return []


class _Held:
    """One saved tensor; dies with the node of the graph that saved it."""

    def __init__(self, tensor: Tensor, live: _Live, holders: dict[int, int]) -> None:
        self.tensor, self._live, self._holders = tensor, live, holders
        storage = tensor.untyped_storage()
        self._key, self._size = storage._cdata, storage.nbytes()
        if not holders.get(self._key):
            live.add(self._size)
        holders[self._key] = holders.get(self._key, 0) + 1

    def __del__(self) -> None:
        self._holders[self._key] -= 1
        if not self._holders[self._key]:
            self._live.add(-self._size)


@contextmanager
def saved_for_backward(kept: list[Tensor]) -> Iterator[_Live]:
    """Counts what autograd saves inside, a storage once, without the ``kept`` ones."""
    live, holders = _Live(), {tensor.untyped_storage()._cdata: 1 for tensor in kept}

    def pack(tensor: Tensor) -> Tensor | _Held:
        return _Held(tensor.detach(), live, holders)

    def unpack(held: Any) -> Tensor:
        return held.tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        yield live
