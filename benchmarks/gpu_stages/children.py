"""Processes beside the command: they do the work, and are killed when their time is over. None outlives the command."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from autogan_ray.base.processes import end_with_parent

FIGURE, DONE, FAILED = "figure", "done", "failed"
ASKS = "asks"
Job = Callable[..., Generator[dict[str, Any], Any, None]]
_JOIN_S = 5.0


class Stopped(Exception):
    """A child's work came to no end: it took too long, it raised an error, or its process died. The text says which."""


class Child:
    """One process. What ``target`` sends through its connection is received here.

    Args:
        target: called in the process as ``target(connection, **arguments)``; a function of a module.
    """

    def __init__(self, target: Callable[..., None], **arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(target, theirs, arguments), daemon=False)
        self._process.start()
        theirs.close()

    def send(self, value: Any) -> None:
        """Raises Stopped where the process is gone."""
        try:
            self.connection.send(value)
        except OSError as error:
            raise Stopped("its process ended") from error

    def receive(self, limit_s: float) -> tuple[str, Any]:
        """The next message: (``figure``, values) or (``done``, None).

        Raises Stopped, and kills the process, where none comes in ``limit_s``, where it failed or where it died.
        """
        if not self.connection.poll(max(0.0, limit_s)):
            self.kill()
            raise Stopped("it did not end in its time and was stopped")
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError) as error:
            self.kill()
            raise Stopped(f"its process died with exit code {self._process.exitcode}") from error
        if kind == FAILED:
            raise Stopped(value)
        return kind, value

    def kill(self) -> None:
        """End the process at once, in whatever it is."""
        self._process.kill()
        self._process.join(_JOIN_S)
        self.connection.close()

    @property
    def alive(self) -> bool:
        return self._process.is_alive() and not self.connection.closed


def _run(target: Callable[..., None], connection: Connection, arguments: dict[str, Any]) -> None:
    end_with_parent()
    sys.stdout = sys.stderr  # the command's own output is its table
    try:
        target(connection, **arguments)
    except (KeyboardInterrupt, EOFError, BrokenPipeError):  # the command ends, or wants nothing more
        pass
    except BaseException as error:
        connection.send((FAILED, _told(error)))


def _told(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no message'}"


def serve(connection: Connection, device: str, threads: int | None = None) -> None:
    """The target of a :class:`Worker`: says that it is ready, and does one job after the other.

    Args:
        device: on which the jobs will compute; it is started here, so that no job's time holds that.
        threads: of torch; None takes torch's own choice.
    """
    import torch

    from autogan_ray.training.memory import forget_peak

    if threads is not None:
        torch.set_num_threads(threads)
    if device == "cpu" or torch.cuda.is_available():
        # The first step of any optimiser imports torch's compiler, which takes a second.
        weight = torch.zeros(1, device=device, requires_grad=True)
        weight.sum().backward()
        torch.optim.Adam([weight]).step()
    connection.send((FIGURE, {}))
    while True:
        job, arguments = connection.recv()
        forget_peak(torch.device(device))
        try:
            _do(connection, job(**arguments))
        except Exception as error:  # one form that does not run stops no other
            connection.send((FAILED, _told(error)))
        else:
            connection.send((DONE, None))


def _do(connection: Connection, job: Generator[dict[str, Any], Any, None]) -> None:
    """Send what a job yields. A figure with the key ``ASKS`` asks for a value, which the job then gets."""
    answer = None
    while True:
        try:
            figure = job.send(answer)
        except StopIteration:
            return
        connection.send((FIGURE, figure))
        answer = connection.recv() if figure.get(ASKS) else None


class Worker:
    """Does jobs in a process that it keeps, and starts a new one after it had to kill it.

    Args:
        device, threads: see :func:`serve`.
    """

    def __init__(self, device: str, threads: int | None = None) -> None:
        self._device, self._threads = device, threads
        self._child: Child | None = None
        self._greeted = False
        self.start_s = 0.0
        """How long its process took to stand by: what it costs to kill it."""

    def start(self) -> None:
        """Begin a process where there is none; nothing is waited for."""
        if self._child is None or not self._child.alive:
            self._child = Child(serve, device=self._device, threads=self._threads)
            self._greeted, self._started = False, time.monotonic()

    def ready(self, limit_s: float) -> None:
        """Wait until a process stands by, so that what comes next is the time of jobs alone. Raises Stopped."""
        self.start()
        if not self._greeted:
            self.child.receive(limit_s)
            self._greeted = True
            self.start_s = time.monotonic() - self._started

    def begin(self, job: Job, arguments: dict[str, Any]) -> None:
        """Hand a job over; :meth:`receive` gives what it finds.

        Args:
            job: a generator function of a module; called with ``arguments`` in the process.
        """
        self.start()
        self.child.send((job, arguments))

    def receive(self, limit_s: float) -> tuple[str, Any]:
        """The next message: (``figure``, values), or (``done``, None) at the end of a job. Raises Stopped."""
        begin = time.monotonic()
        self.ready(limit_s)
        return self.child.receive(limit_s - (time.monotonic() - begin))

    def figures(self, job: Job, arguments: dict[str, Any], limit_s: float) -> Iterator[dict[str, Any]]:
        """The figures of a job, each as soon as it is measured.

        Args:
            limit_s: for the whole job; where no process stood by, for its start too.

        Raises Stopped.
        """
        deadline = time.monotonic() + limit_s
        self.begin(job, arguments)
        while True:
            kind, value = self.receive(deadline - time.monotonic())
            if kind == DONE:
                return
            yield value

    @property
    def child(self) -> Child:
        assert self._child is not None, "the process was started"
        return self._child

    def close(self) -> None:
        if self._child is not None and not self._child.connection.closed:
            self._child.kill()
        self._child = None


def first_ready(workers: Sequence[Worker], limit_s: float) -> list[Worker]:
    """Those that have sent something, or are gone, as soon as there is one; none after ``limit_s``."""
    found = wait([worker.child.connection for worker in workers], max(0.0, limit_s))
    return [worker for worker in workers if worker.child.connection in found]
