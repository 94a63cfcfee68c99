"""Peak memory of a training or search: also where one process runs several, one after the other."""

from __future__ import annotations

import ctypes
import gc
import resource
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # see proc_pid_clear_refs(5): the peak becomes what is resident now


def peak_memory_mib(device: torch.device) -> float:
    """Returns the peak memory in MiB since :func:`forget_peak`, or since the process began.

    It is that of the GPU's allocator; on the CPU the resident memory of this process, its libraries included.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    for line in _STATUS.read_text().splitlines() if _STATUS.exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def forget_peak(device: torch.device) -> bool:
    """Frees unused memory and counts peaks from here; returns False where this system cannot (not Linux).

    What an earlier run left to the C allocator would count as resident, so it is given back to the system as well.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        ctypes.CDLL(None).malloc_trim(0)
        _CLEAR.write_text(_RESET_PEAK)
    except (AttributeError, OSError):
        return False
    return True
