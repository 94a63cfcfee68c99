"""A used process made like a new one, so that a trial does not depend on the trial that ran in it before."""

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


def reset_process(seed: int, device: torch.device, threads: int) -> None:
    """Sets threads, global random streams and peak memory before a trial is built, as if nothing had run here.

    The package draws from its own random streams; the global streams are set for libraries that draw from them.

    Args:
        seed: the trial's seed, on which alone the global streams depend.
        device: where the peak of memory is measured.
        threads: number of threads that torch uses.
    """
    # How long Ray waits until the previous trial has left the process; Ray's own 2 s are short on a busy machine.
    os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", _UNWIND_S)
    freeze_imports()
    torch.set_num_threads(threads)
    drawn = stream_seed(seed, "global")
    random.seed(drawn)
    np.random.seed(drawn % 2**32)
    torch.manual_seed(drawn)
    torch.set_grad_enabled(True)
    forget_peak(device)


def freeze_imports() -> None:
    """Excludes all imported objects from garbage collection, which saves 0.2 s at the start of each trial.

    Torch's compiler is imported first, as torch would import it at the first step of any optimiser.
    """
    if gc.get_freeze_count() == 0:
        importlib.import_module("torch._dynamo")
        gc.freeze()
