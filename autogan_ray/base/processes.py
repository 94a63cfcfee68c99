"""Worker processes that do not outlive the command that started them."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import sys
import threading
from contextlib import suppress

_PR_SET_CHILD_SUBREAPER = 36
_ROUNDS = 4


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


def adopt_orphans(on: bool) -> None:
    """Makes this process, on Linux, the parent of descendants whose own parent ends, in place of the first process.

    Otherwise they could no longer be found, for example the workers of Ray after a signal that has ended their raylet.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)


def kill_descendants() -> None:
    """Kills the processes that this process started, those that they started, and so on; waits at most two seconds.

    The process that removes the semaphores of :mod:`multiprocessing` when its parent is gone is spared.
    """
    import psutil

    for _ in range(_ROUNDS):  # a process may just have started another
        there = []
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                spared = any("multiprocessing.resource_tracker" in word for word in process.cmdline())
                if not spared and process.status() != psutil.STATUS_ZOMBIE:
                    process.kill()
                    there.append(process)
        if not there:
            return
        psutil.wait_procs(there, timeout=2.0 / _ROUNDS)
