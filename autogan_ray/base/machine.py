"""What of this machine a process may use: a scheduler or a container often grants less than there is."""

from __future__ import annotations

import math
import os
import platform
from contextlib import suppress
from pathlib import Path, PurePosixPath

_CGROUP = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


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

    It is the smallest of the machine's number, the affinity (``taskset``, SLURM) and the quota of the control groups
    (Docker, Kubernetes), rounded up.
    """
    counts = [os.cpu_count() or 1]
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        counts.append(len(os.sched_getaffinity(0)))
    quota = _quota()
    if quota is not None:
        counts.append(math.ceil(quota))
    return max(1, min(counts))


def usable_memory_gib() -> float:
    """Returns how much memory this process and its children may still take, in GiB.

    It is the smallest of what the machine has available and what the limits of the control groups (Docker, Kubernetes,
    SLURM) leave. Pages of files that nobody used of late count as free, as the system gives them up.
    """
    import psutil

    free = [float(psutil.virtual_memory().available)]
    for group in _control_groups("memory"):
        for limit, used, files in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            with suppress(OSError, ValueError):  # no limit is "max", or there are no such files
                left = int((group / limit).read_text()) - int((group / used).read_text())
                free.append(left + _statistic(group / "memory.stat", files))
    return max(0.0, min(free)) / 2**30


def oom_kills() -> int:
    """Returns how many processes this machine's system has killed as memory ran out; 0 where it does not say."""
    return _statistic(Path("/proc/vmstat"), "oom_kill")


def _statistic(file: Path, name: str) -> int:
    lines = file.read_text().splitlines() if file.is_file() else []
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0)


def _quota() -> float | None:
    """Returns the processors that the control groups grant; None where none limits them."""
    quotas = []
    for group in _control_groups("cpu"):
        with suppress(OSError, ValueError):
            limit, period = (group / "cpu.max").read_text().split()
            quotas.append(int(limit) / int(period))
        with suppress(OSError, ValueError):
            limit_us = int((group / "cpu.cfs_quota_us").read_text())
            quotas.append(limit_us / int((group / "cpu.cfs_period_us").read_text()))
    return min((quota for quota in quotas if quota > 0), default=None)


def _control_groups(controller: str) -> list[Path]:
    """Returns the folders of this process's control group and of those above it, which limit it as well.

    Both versions of control groups are covered: one tree for all controllers, or one for each. In a container the
    path that the system tells may be that of the host, which is not there: the container's own group is the root.
    """
    found = [_CGROUP, _CGROUP / controller]
    with suppress(OSError):
        for line in _OWN_GROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            root = _CGROUP / controller if controllers else _CGROUP
            parts = PurePosixPath(path).parts[1:]
            found += [root.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
    return found
