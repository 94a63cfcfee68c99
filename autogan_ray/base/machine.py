"""What of this machine a process may use: a scheduler or a container often grants less than there is."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def cpu_name() -> str:
    """Returns the processor's name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def usable_cpus() -> int:
    """Returns how many processors this process may use, at least 1.

    It is the smallest of the machine's number, the affinity (``taskset``, SLURM) and the quota of the control group
    (Docker, Kubernetes), rounded up.
    """
    counts = [os.cpu_count() or 1]
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        counts.append(len(os.sched_getaffinity(0)))
    quota = _quota()
    if quota is not None:
        counts.append(math.ceil(quota))
    return max(1, min(counts))


def _quota() -> float | None:
    """Returns the processors that the control group grants, of version 2 or 1; None where it limits nothing."""
    try:
        limit, period = (_CGROUP / "cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        limit_us = int((_CGROUP / "cpu/cpu.cfs_quota_us").read_text())
        return limit_us / int((_CGROUP / "cpu/cpu.cfs_period_us").read_text()) if limit_us > 0 else None
    except (OSError, ValueError):
        return None
