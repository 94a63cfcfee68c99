"""A killed command takes the processes it started with it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from autogan_ray.base.processes import end_with_parent
from tests.sessions import has_ended

COMMAND = """
import multiprocessing, os, sys, time
from concurrent.futures import ProcessPoolExecutor
from autogan_ray.base.processes import end_with_parent

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(1, mp_context=context, initializer=end_with_parent)
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 600).result()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_ends_with_its_command_in_the_midst_of_a_job(tmp_path: Path, how: signal.Signals) -> None:
    file = tmp_path / "command.py"
    file.write_text(COMMAND)
    with subprocess.Popen([sys.executable, str(file)], stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        worker = psutil.Process(int(command.stdout.readline()))
        time.sleep(0.5)  # into its job
        assert worker.is_running()
        command.send_signal(how)
    psutil.wait_procs([worker], timeout=20)
    assert has_ended(worker)


def test_a_process_without_a_parent_is_left_alone() -> None:
    end_with_parent()  # under xdist too: its processes are none of multiprocessing
    assert all(thread.name != "end-with-parent" for thread in threading.enumerate())
