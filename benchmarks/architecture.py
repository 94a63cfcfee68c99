"""Figures about the architecture of the package, counted from its code."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from _setups import setup
from _sides import product

import autogan_ray

PACKAGE = Path(autogan_ray.__file__).parent


def files_of_a_step(merge: bool) -> list[str]:
    """The files of the package of which a function runs in one iteration of a ``gumbel`` search, relative to it.

    The iteration updates the logits and the weights of D and of G. It is a second one, so that nothing counts that only
    the first has to do.

    Args:
        merge: whether the networks are computed in the fast form, or in the plain form.
    """
    side = product(setup("tiny", relaxation="gumbel", settings={"compute.merge": merge}), torch.device("cpu"))
    side.search()
    files: set[Path] = set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            files.add(Path(frame.f_code.co_filename))

    sys.setprofile(note)
    try:
        side.search()
    finally:
        sys.setprofile(None)
    return sorted(file.relative_to(PACKAGE).as_posix() for file in files if file.is_relative_to(PACKAGE))
