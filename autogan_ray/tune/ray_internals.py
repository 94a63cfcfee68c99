"""Changes to Ray Tune's control loop and to its processes for which Ray has no setting, made while a study runs."""

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
"""How long the control loop waits for an event."""


@contextmanager
def patched_control_loop() -> Iterator[None]:
    """Changes three things in Ray's control loop for the time of the block.

    The loop waits longer for events. Ray's loop wakes every 0.1 s, with 2 ms of work each time, while trials report
    once a minute; here it wakes every :data:`WAIT_S`. An event (a report, a process that is ready, a free slot) ends a
    wait at once and is not delayed. Only Ctrl-C, which is no event, may be noticed that much later.

    A process that dies between two trials does not hold up the study. Ray 2.60 reports such a death twice, as the
    failure of a process and as the failure of the trial that the process was to take. For the first report it starts
    the trial again; for the second it gives the trial up, though it never ran. It also leaves the trial marked as being
    handed over, so that no other process would take it. Here the mark is removed, and the second report is ignored.

    Ray's state is written only at the end, as nothing reads it before.
    """
    manager: Any = actor_manager.RayActorManager
    controller: Any = tune_controller.TuneController
    snapshots: Any = experiment_state._ExperimentCheckpointManager
    ray_next, ray_failure = manager.next, controller._trial_task_failure
    ray_sync = snapshots.sync_up_experiment_state

    def patient_next(self: Any, timeout: float | None = None) -> Any:
        return ray_next(self, timeout if timeout is None else max(timeout, WAIT_S))

    def failure(self: Any, trial: Trial, exception: Exception) -> None:
        started_again = trial.status == Trial.PENDING and trial not in self._resetting_trials
        if started_again and isinstance(exception, RayActorError):
            return
        self._resetting_trials.discard(trial)
        ray_failure(self, trial, exception)

    def sync_at_the_end(self: Any, save_fn: Callable[[], None], force: bool = False, wait: bool = False) -> None:
        if force:
            ray_sync(self, save_fn, force, wait)

    manager.next, controller._trial_task_failure = patient_next, failure
    snapshots.sync_up_experiment_state = sync_at_the_end
    try:
        yield
    finally:
        manager.next, controller._trial_task_failure = ray_next, ray_failure
        snapshots.sync_up_experiment_state = ray_sync


@contextmanager
def trials_in_cluster_processes() -> Iterator[None]:
    """Lets the first trials run in processes that Ray started with the cluster, which saves a second.

    Tune asks for environment variables (some of the driver's, and one for Lightning), for which Ray starts other
    processes. The processes of a cluster that was started here have inherited the driver's variables. Those of a
    cluster that was joined have not: do not enter this block there.
    """
    module: Any = class_cache
    variables = module.DEFAULT_ENV_VARS, module.ENV_VARS_TO_PROPAGATE
    module.DEFAULT_ENV_VARS, module.ENV_VARS_TO_PROPAGATE = {}, set()
    try:
        yield
    finally:
        module.DEFAULT_ENV_VARS, module.ENV_VARS_TO_PROPAGATE = variables


@contextmanager
def imports_frozen() -> Iterator[None]:
    """Excludes from garbage collection, for the time of the block, all objects that exist when it begins.

    These are half a million objects of torch, Ray and Optuna, none of them garbage. The rows of a study's tables are
    enough new objects to start a collection of all of them, 0.15 s each, at every second writing of the tables: a fifth
    of the driver's work.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
