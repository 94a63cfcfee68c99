"""Commands in sessions of their own, as schedulers run them: signals for all of their processes, and none left over."""

from __future__ import annotations

import os

import psutil


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
