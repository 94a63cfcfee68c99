"""Processes that a command starts beside itself: none outlives it."""

from __future__ import annotations

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """In a process of :mod:`multiprocessing`: ends it as soon as the one that started it is gone, however that ended.

    Without it the workers of a killed command compute to the end of their jobs, and then wait for ever. As an
    initialiser of a pool; in a process that nobody started it does nothing.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)  # at once: whatever was to be kept is written as it comes

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
