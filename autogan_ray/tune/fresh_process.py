"""A trial in a process that ran another before it finds what a new process would give it."""

from __future__ import annotations

import gc
import importlib
import os
import random

import numpy as np
import torch

from autogan_ray.training.memory import forget_peak
from autogan_ray.training.streams import stream_seed

_UNWIND_S = "60"


def begin_afresh(seed: int, device: torch.device, threads: int) -> None:
    """Before a trial is built: threads, global random streams and peak memory as if nothing had run here.

    The package draws from streams of its own; the global ones are set for what a library may draw.

    Args:
        seed: of the trial: the global streams depend on it alone, in a new process as in a used one.
        threads: of torch.
    """
    # How long Ray waits for the trial before to leave the process; its own 2 s are short on a busy machine.
    os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", _UNWIND_S)
    leave_imports_alone()
    torch.set_num_threads(threads)
    drawn = stream_seed(seed, "global")
    random.seed(drawn)
    np.random.seed(drawn % 2**32)
    torch.manual_seed(drawn)
    torch.set_grad_enabled(True)
    forget_peak(device)


def leave_imports_alone() -> None:
    """Garbage collection passes from now on over what this process has imported: 0.2 s at the start of each trial.

    The compiler is imported first: torch does it at the first step of any optimiser.
    """
    if gc.get_freeze_count() == 0:
        importlib.import_module("torch._dynamo")
        gc.freeze()
