"""Ray Tune's control loop, which takes no settings for it, with some things done otherwise while a study runs."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ray.air.execution._internal import actor_manager
from ray.exceptions import RayActorError
from ray.tune.execution import class_cache, experiment_state, tune_controller
from ray.tune.experiment import Trial

WAIT_S = 1.0


@contextmanager
def control_loop() -> Iterator[None]:
    """Inside, the loop waits longer for events, a process that dies between two trials holds up no study, and Ray's
    state is written once, at the end, as nothing reads it before.

    Ray's loop wakes every 0.1 s, at 2 ms of work a turn, where trials report once a minute; here every
    :data:`WAIT_S`. An event (a report, a process that is ready, a free slot) ends a wait at once, so nothing comes
    later for it; only what is no event, Ctrl-C, may take so long to be seen.

    A process that dies before it has taken its next trial is told twice, once as a process that failed and once as a
    trial that did. Ray 2.60 starts the trial again for the first, then gives it up for the second, though it never ran;
    and it leaves the trial marked as being handed over, so that it would get no other process. Here the mark goes, and
    the second telling is not heard.
    """
    manager: Any = actor_manager.RayActorManager
    controller: Any = tune_controller.TuneController
    snapshots: Any = experiment_state._ExperimentCheckpointManager
    known_next, known_failure = manager.next, controller._trial_task_failure
    known_sync = snapshots.sync_up_experiment_state

    def patient_next(self: Any, timeout: float | None = None) -> Any:
        return known_next(self, timeout if timeout is None else max(timeout, WAIT_S))

    def failure(self: Any, trial: Trial, exception: Exception) -> None:
        waits = trial.status == Trial.PENDING and trial not in self._resetting_trials
        if waits and isinstance(exception, RayActorError):
            return
        self._resetting_trials.discard(trial)
        known_failure(self, trial, exception)

    def sync_at_the_end(self: Any, save_fn: Callable[[], None], force: bool = False, wait: bool = False) -> None:
        if force:
            known_sync(self, save_fn, force, wait)

    manager.next, controller._trial_task_failure = patient_next, failure
    snapshots.sync_up_experiment_state = sync_at_the_end
    try:
        yield
    finally:
        manager.next, controller._trial_task_failure = known_next, known_failure
        snapshots.sync_up_experiment_state = known_sync


@contextmanager
def workers_at_hand() -> Iterator[None]:
    """Inside, the first trials run in processes that Ray has started with the cluster, a second earlier than in others.

    Tune asks for an environment of its own, for which Ray starts other processes: some of the driver's variables,
    which those of a cluster started here have inherited, and one for Lightning. In a cluster that was joined they have
    not, so there this is nothing to enter.
    """
    module: Any = class_cache
    known = module.DEFAULT_ENV_VARS, module.ENV_VARS_TO_PROPAGATE
    module.DEFAULT_ENV_VARS, module.ENV_VARS_TO_PROPAGATE = {}, set()
    try:
        yield
    finally:
        module.DEFAULT_ENV_VARS, module.ENV_VARS_TO_PROPAGATE = known


@contextmanager
def imports_left_alone() -> Iterator[None]:
    """Inside, garbage collection passes over what is there already: half a million objects of torch, Ray and Optuna.

    None of them is garbage, and the rows of a study's tables are enough new objects to have all looked at, 0.15 s a
    time, at every second writing: a fifth of a driver's work.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
