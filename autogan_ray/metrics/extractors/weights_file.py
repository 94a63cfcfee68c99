"""Weights that come in a file: read, held to a digest, and held to the network that they are for."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autogan_ray.base.errors import MetricError

if TYPE_CHECKING:
    from torch import Tensor

UNREAD = ".num_batches_tracked"
"""Counters of batch norms, which no evaluation reads; files from before torch had them lack them."""


def read_weights(
    file: Path, sha256: str, remedy: str, network: str, wanted: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], str]:
    """Returns weights that the network loads as they are, by name, and the file's sha256 in hexadecimal.

    Only tensors and plain values are unpickled.

    Args:
        sha256: what the digest must begin with.
        remedy: how to get the right file: a sentence without its full stop, for the error.
        network: how people name the network, for the error.
        wanted: its ``state_dict``; names, shapes and types are read.

    Raises:
        MetricError: the digest is another one, or the file has no weights, or those of another network.
    """
    import torch

    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if not digest.startswith(sha256.lower()):
        raise MetricError(
            f"extractor weights {file}: sha256 is {digest[:16]}..., expected {sha256[:16]}...; the file is torn or "
            f"another one. {remedy}, or name its digest by --set metrics.sha256=... if it is meant"
        )
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # an unpickler meets bytes that are no pickle with errors of every kind
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise MetricError(f"extractor weights {file}: not a file of weights: {reason}") from error
    faults = _faults(state, wanted)
    if faults:
        more = f" ({len(faults)} such faults)" if len(faults) > 1 else ""
        raise MetricError(f"extractor weights {file}: not {network}'s weights: {faults[0]}{more}")
    # A plain dict: what torch noted beside the weights decides which of them may be absent.
    return dict(state), digest


def _faults(state: Any, wanted: Mapping[str, Tensor]) -> list[str]:
    """Says what keeps a network from loading what a file holds: every name, shape and type is looked at."""
    import torch

    if not isinstance(state, dict):
        return [f"the file holds a {type(state).__name__} and no dict of tensors"]
    faults = []
    for name, tensor in wanted.items():
        value = state.get(name)
        if name not in state:
            if not name.endswith(UNREAD):
                faults.append(f"{name} is missing")
        elif not isinstance(value, torch.Tensor):
            faults.append(f"{name} is a {type(value).__name__} and no tensor")
        elif value.shape != tensor.shape:
            faults.append(f"{name} has shape {tuple(value.shape)} and not {tuple(tensor.shape)}")
        elif value.dtype != tensor.dtype and not name.endswith(UNREAD):
            faults.append(f"{name} is of {value.dtype} and not of {tensor.dtype}")
    return faults + [f"{name!r} is none of its weights" for name in state if name not in wanted]
