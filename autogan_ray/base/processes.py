"""Worker processes that do not outlive the command that started them."""

from __future__ import annotations

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """Ends this process of :mod:`multiprocessing` as soon as its parent process is gone, for whatever reason.

    It is the initialiser of a process pool. Without it the workers of a killed command would finish their jobs and
    then wait for ever. In a process that :mod:`multiprocessing` did not start it does nothing.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)  # at once: results and checkpoints are on disk as soon as they exist

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
