"""Worker processes that do not outlive the command that started them."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from contextlib import suppress
from multiprocessing import resource_tracker

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


def start_worker() -> None:
    """Makes this process of :mod:`multiprocessing` a worker, which leaves signals to its command and ends with it.

    A signal often comes to the command and to its workers at once. The command ends them, after it has noted what they
    did.
    """
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    end_with_parent()


def start_resource_tracker() -> None:
    """Starts the process in which :mod:`multiprocessing` keeps track of its semaphores, out of reach of a SIGHUP.

    Python itself has it ignore SIGINT and SIGTERM. Ended by a SIGHUP to all processes it would be started again when
    the command ends, and print a traceback for each semaphore. What is blocked when it starts stays blocked in it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        resource_tracker.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
