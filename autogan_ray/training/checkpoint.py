"""Checkpoints: a file of tensors and plain values with its digest beside it; loading executes no code."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from autogan_ray.base.errors import ResultsError
from autogan_ray.base.files import replace_text, replacing

STATE = "state.pt"
DIGEST = "state.sha256"


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Writes ``state`` to ``folder/state.pt`` and its sha256 beside it; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / STATE) as handle:
        torch.save(state, handle)
        handle.seek(0)
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    replace_text(folder / DIGEST, digest + "\n")


def load_state(folder: Path) -> dict[str, Any]:
    """Returns the state, on the CPU: modules and optimisers copy it to their device (Adam keeps its step counts here).

    Raises ResultsError where the checkpoint is missing, torn, or not what its digest says.
    """
    file, digest_file = folder / STATE, folder / DIGEST
    if not file.is_file() or not digest_file.is_file():
        raise ResultsError(f"checkpoint {str(folder)!r}: {STATE} or {DIGEST} is missing")
    digest, expected = hashlib.sha256(file.read_bytes()).hexdigest(), digest_file.read_text().strip()
    if digest != expected:
        raise ResultsError(
            f"checkpoint {str(file)!r}: its sha256 begins {digest[:12]}, {DIGEST} says {expected[:12]}; it is torn or "
            "altered"
        )
    return torch.load(file, map_location="cpu", weights_only=True)
