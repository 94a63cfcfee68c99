"""Ray Tune's control loop, which takes no settings for it, with two things done otherwise while a study runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.air.execution._internal import actor_manager
from ray.tune.execution import tune_controller

WAIT_S = 1.0


@contextmanager
def control_loop() -> Iterator[None]:
    """Inside, the loop waits longer for events, and a process that dies between two trials holds up no study.

    Ray's loop wakes every 0.1 s, at 2 ms of work a turn, where trials report once a minute; here every
    :data:`WAIT_S`. An event (a report, a process that is ready, a free slot) ends a wait at once, so nothing comes
    later for it; only what is no event, Ctrl-C, may take so long to be seen.

    A process that dies when it is handed its next trial leaves that trial marked as being handed over, in Ray 2.60 for
    ever: it never gets another process, and the study hangs. Here a failure takes the mark off.
    """
    manager: Any = actor_manager.RayActorManager
    controller: Any = tune_controller.TuneController
    known_next, known_failure = manager.next, controller._trial_task_failure

    def patient_next(self: Any, timeout: float | None = None) -> Any:
        return known_next(self, timeout if timeout is None else max(timeout, WAIT_S))

    def failure(self: Any, trial: Any, exception: Exception) -> None:
        self._resetting_trials.discard(trial)
        known_failure(self, trial, exception)

    manager.next, controller._trial_task_failure = patient_next, failure
    try:
        yield
    finally:
        manager.next, controller._trial_task_failure = known_next, known_failure
