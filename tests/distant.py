"""A GPU that is not there: tensors that say they are on it, keep their values here, and refuse to meet others.

What a test cannot see of a GPU this way is its arithmetic and its speed. What it sees is what breaks a program that was
only ever run on a CPU: tensors of two devices in one operation, values read where a GPU would have to be waited for,
and how many kernels a step launches.
"""

from __future__ import annotations

import contextlib
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

import autogan_ray

aten = torch.ops.aten
_CORE: Any = torch._C  # what torch's own fake tensors use, and no stub tells of
_TENSOR: Any = torch.Tensor
THERE, HERE = torch.device("cuda", 0), torch.device("cpu")
PACKAGE = str(Path(autogan_ray.__file__).parent)

# These may read or write across devices; of an indexed tensor the indices may lie here.
_CROSS = {aten._to_copy.default, aten.copy_.default}
_INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
# No kernel: another look at the same memory, or memory as it is.
_FREE = (
    "view _unsafe_view reshape expand permute transpose t slice select unbind split split_with_sizes squeeze "
    "unsqueeze detach alias as_strided diagonal unfold empty empty_like empty_strided new_empty new_empty_strided"
).split()


class Distant(torch.Tensor):
    """On the GPU by its own account. To torch's C++ it is on the meta device, so all it does is asked of ``_run``."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Distant:
        made: Any = _TENSOR._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device="meta",
        )
        made.held = held.detach()
        found: Distant = made
        return found

    def __repr__(self, *given: Any, **more: Any) -> str:
        return f"Distant({self.held!r})"

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def new_tensor(self, *data: Any, **more: Any) -> Any:
        return torch.tensor(*data, dtype=self.dtype, device=THERE, **more)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


for _name, _told in {"device": THERE, "is_cuda": True, "is_cpu": False, "is_meta": False}.items():
    setattr(Distant, _name, property(lambda self, told=_told: told))


class Gpu(TorchDispatchMode):
    """Inside, ``cuda`` is a device; what happens on it is counted by the line of this package that asked for it.

    ``waits``: times the program waits for all work that was handed over. ``kernels``: by operation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.kernels: Counter[str] = Counter()

    def forget(self) -> None:
        """Count anew from here."""
        self.waits.clear()
        self.kernels.clear()

    def __enter__(self) -> Gpu:
        self._patches = contextlib.ExitStack()
        for change in _changes():
            self._patches.enter_context(change)
        _CORE._ensureCUDADeviceGuardSet()
        _watching.append(self)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        _watching.remove(self)
        self._patches.close()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def saw(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], there: bool) -> None:
        name = func.name().split("::")[1].split(".")[0]
        if func in _CROSS:
            comes = isinstance(args[1] if func is aten.copy_.default else args[0], Distant)
            free = there and not comes and (kwargs.get("non_blocking") or (len(args) > 2 and args[2] is True))
            if comes != there and not free:
                self.waits[_site()] += 1
                return
        if name in ("_local_scalar_dense", "is_nonzero", "nonzero", "masked_select") or (
            func in _INDEXED and _by_mask(args[1])
        ):
            if isinstance(args[0], Distant):
                self.waits[_site()] += 1
        elif there and name not in _FREE:
            self.kernels[name] += 1


_watching: list[Gpu] = []


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    flat, spec = tree_flatten((args, kwargs))
    distant = [one for one in flat if isinstance(one, Distant)]
    where = _where(func, args, kwargs, flat, distant)
    a, k = tree_unflatten([one.held if isinstance(one, Distant) else one for one in flat], spec)
    if where == THERE and "device" in k:
        k["device"] = HERE
    for gpu in _watching:
        gpu.saw(func, args, kwargs, where == THERE)
    found = func(*a, **k)
    if where != THERE or func is aten._local_scalar_dense.default:
        return found
    known = {id(one.held): one for one in distant}  # what was written to is the same tensor afterwards

    def outer(one: Any) -> Any:
        if not isinstance(one, torch.Tensor) or isinstance(one, Distant):
            return one
        before = known.get(id(one))
        return Distant(one) if before is None else before

    return tree_map(outer, found)


def _where(func: Any, args: Any, kwargs: Any, flat: Sequence[Any], distant: Sequence[Distant]) -> torch.device:
    """The device of an operation's results. Raises RuntimeError, as torch does, where it may not take these tensors."""
    plain = [one for one in flat if isinstance(one, torch.Tensor) and not isinstance(one, Distant)]
    asked = kwargs.get("device")
    if asked is not None:
        asked = torch.device(asked)
        # C++ asks for its tensors where this one is by its account; this package uses the meta device by the context.
        own = asked.type == "meta" and torch.get_default_device() != asked and not any(one.is_meta for one in plain)
        return THERE if asked.type == "cuda" or own else asked
    if func in _CROSS or func in _INDEXED:
        return THERE if isinstance(args[0], Distant) else HERE
    if distant and any(one.dim() > 0 for one in plain):
        shapes = [tuple(one.shape) for one in plain if one.dim() > 0]
        raise RuntimeError(f"{func}: all tensors should be on one device, but {shapes} are not on {THERE}")
    return THERE if distant else HERE


def _by_mask(indices: Sequence[Any]) -> bool:
    return any(one is not None and one.dtype in (torch.bool, torch.uint8) for one in indices)


def _site() -> str:
    ours = [frame for frame in traceback.extract_stack() if frame.filename.startswith(PACKAGE)]
    return f"{ours[-1].filename.removeprefix(PACKAGE)[1:]}:{ours[-1].name}" if ours else "elsewhere"


def _no_grad(self: Any) -> None:
    """In place of inference mode, whose tensors no subclass may wrap."""
    self._instead = torch.no_grad() if self.mode else contextlib.nullcontext()
    self._instead.__enter__()


def _changes() -> Iterator[Any]:
    made = torch.tensor

    def tensor(data: Any, *, device: Any = None, **more: Any) -> Any:
        """C++ would copy to the GPU by itself."""
        return made(data, device=device, **more) if device is None else made(data, **more).to(device)

    yield patch.object(torch, "tensor", tensor)
    for name in ("_lazy_init", "empty_cache", "reset_peak_memory_stats", "synchronize", "set_rng_state"):
        yield patch.object(torch.cuda, name, lambda *given: None)
    yield patch.object(torch.cuda, "max_memory_allocated", lambda *given: 2**20)
    yield patch.object(torch.cuda, "get_rng_state", lambda *given: torch.get_rng_state())
    yield patch.object(torch.inference_mode, "__enter__", _no_grad)
    yield patch.object(torch.inference_mode, "__exit__", lambda self, *error: self._instead.__exit__(*error))
