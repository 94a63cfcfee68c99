"""Commands in processes of their own, as schedulers run them: what they have started, and what they leave behind.

Processes end whenever they like, also between two questions about them. What is asked here answers for those that
are there; a test that asked :mod:`psutil` itself would fail once in a hundred times.
"""

from __future__ import annotations

import os
from contextlib import suppress

import psutil


def started_by(process: int) -> list[tuple[psutil.Process, str]]:
    """The processes that a process has started, those that they have started, and so on, each with its command line.

    Ray writes there what a worker does, for example ``ray::smoke trial t0001``.
    """
    found = []
    with suppress(psutil.Error):
        for child in psutil.Process(process).children(recursive=True):
            with suppress(psutil.Error):
                found.append((child, " ".join(child.cmdline()) or child.name()))
    return found


def has_ended(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return True


def left_in(session: int) -> list[str]:
    """The names of the processes that are still in a session.

    Not counted is the process of :mod:`multiprocessing` that ends after the command, as it removes its semaphores.
    """
    left = []
    for process in psutil.process_iter():
        try:
            gone = os.getsid(process.pid) != session or process.status() == psutil.STATUS_ZOMBIE
            if not gone and not any("multiprocessing.resource_tracker" in word for word in process.cmdline()):
                left.append(process.name())
        except (OSError, psutil.Error):
            continue
    return left
