"""A driver that waits: Ray Tune's control loop wakes ten times a second, where trials report once a minute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.air.execution._internal import actor_manager

WAIT_S = 1.0


@contextmanager
def patient_driver() -> Iterator[None]:
    """Inside, Tune's loop waits :data:`WAIT_S` for an event where it would wait 0.1 s, at 2 ms of work a turn.

    An event (a report, a process that is ready, a free slot) ends the wait at once, so nothing comes later for it.
    Only what is no event, Ctrl-C, may take so long to be seen.
    """
    manager: Any = actor_manager.RayActorManager
    known = manager.next

    def wait(self: Any, timeout: float | None = None) -> Any:
        return known(self, timeout if timeout is None else max(timeout, WAIT_S))

    manager.next = wait
    try:
        yield
    finally:
        manager.next = known
