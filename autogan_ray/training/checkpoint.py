"""Checkpoints: tensors and plain values in one file that knows its own digest; loading executes no code.

The file begins with :data:`MAGIC`, the sha256 of the content, and the content's length. A crash of the machine may tear
it, so who resumes keeps the checkpoint before too: Ray does, of trials and of retrainings.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
from pathlib import Path
from typing import Any

import torch

from autogan_ray.base.errors import ResultsError
from autogan_ray.base.files import replacing

STATE = "state.pt"
DIGEST = "state.sha256"
"""Earlier versions wrote the content alone to :data:`STATE`, and its digest to this file."""
MAGIC = b"autogan_ray checkpoint\n"
_HEADER = struct.Struct(f"<{len(MAGIC)}s32sQ")


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Writes ``state`` to ``folder/state.pt`` in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / STATE) as handle:
        handle.write(bytes(_HEADER.size))
        torch.save(state, handle)
        length = handle.tell() - _HEADER.size
        handle.seek(_HEADER.size)
        digest = hashlib.file_digest(handle, "sha256").digest()
        handle.seek(0)
        handle.write(_HEADER.pack(MAGIC, digest, length))


def load_state(folder: Path) -> dict[str, Any]:
    """Returns the state, on the CPU: modules and optimisers copy it to their device (Adam keeps its step counts here).

    Raises ResultsError where the checkpoint is missing, torn or altered, whatever is in its file.
    """
    file = folder / STATE
    if not file.is_file():
        raise ResultsError(f"checkpoint {str(folder)!r}: {STATE} is missing")
    where = f"checkpoint {str(file)!r}"
    try:
        content = _content(file, where)
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except ResultsError:
        raise
    except Exception as error:  # torch has no error of its own for content that it cannot read
        reason = str(error).partition("\n")[0][:200]
        raise ResultsError(f"{where} cannot be read: {type(error).__name__}: {reason}") from error
    if not isinstance(state, dict):
        raise ResultsError(f"{where} holds {type(state).__name__}, not the state of a training")
    return state


def _content(file: Path, where: str) -> bytes:
    """What torch saved, after its length and digest have been checked."""
    with file.open("rb") as handle:
        size, header = os.fstat(handle.fileno()).st_size, handle.read(_HEADER.size)
        if header.startswith(MAGIC) and len(header) == _HEADER.size:
            _, digest, length = _HEADER.unpack(header)
            if length != size - _HEADER.size:
                raise ResultsError(
                    f"{where} is torn or altered: {size - _HEADER.size} bytes, where its head says {length}"
                )
            content, expected = handle.read(), digest.hex()
        else:
            content = header + handle.read()
            told = file.with_name(DIGEST)
            expected = told.read_bytes().strip().decode("ascii", "replace") if told.is_file() else "nothing"
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ResultsError(
            f"{where} is torn or altered: its sha256 begins {found[:12]}, where {expected[:12]!r} was written down"
        )
    return content
