"""Changes to Ray Tune's control loop, processes and names for which Ray has no setting, made while a study runs.

They reach into private parts of Ray, which another version may not have. Each part is looked for before it is used;
where it is not as it was, the study runs without the change, and :func:`changed_internals` says what is lost.
"""

from __future__ import annotations

import gc
import importlib
import inspect
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.tune.experiment import Trial

from autogan_ray.base.signals import check_interrupted

WAIT_S = 1.0
"""How long the control loop waits for an event."""

PORT_WAIT_MS = 200
"""How long Ray waits at a time for the port of its first process."""


@dataclass(frozen=True)
class Internal:
    """A private part of Ray that this package replaces or uses.

    Args:
        owner: module and class, such as ``ray.tune.execution.tune_controller:TuneController``; or the module alone.
        name: of a method, of a module's variable, or of what the class's ``__init__`` sets.
        parameters: of a method, by their names; None for a variable.
        lost: what a study lacks without it.
    """

    owner: str
    name: str
    lost: str
    parameters: tuple[str, ...] | None = None

    @property
    def place(self) -> Any:
        """The class or module that has the part; None where it is not there."""
        module, _, member = self.owner.partition(":")
        try:
            found = importlib.import_module(module)
        except ImportError:
            return None
        return getattr(found, member, None) if member else found

    def change(self) -> str | None:
        """What is not as it was; None where the part can be used."""
        place = self.place
        if place is None:
            return "is gone"
        if self.parameters is None:
            init = getattr(getattr(place, "__init__", None), "__code__", None)
            known = hasattr(place, self.name) or (init is not None and self.name in init.co_names)
            return None if known else "is gone"
        part = getattr(place, self.name, None)
        if not callable(part):
            return "is gone"
        has = tuple(inspect.signature(part).parameters)
        return None if has == self.parameters else f"takes ({', '.join(has)}), not ({', '.join(self.parameters)})"


_CONTROLLER = "ray.tune.execution.tune_controller:TuneController"
_ASHA = "ray.tune.schedulers.async_hyperband"
_TWICE = "a trial may be given up when its process dies between two trials"
_RUNGS = "the rungs of ASHA are not kept: a resumed study may stop other trials"
_HANGS = "a signal to all processes of a study that starts may end it only after a minute"
_PROCESSES = "the first trials start a second later"
_AGENT = "where two clusters run on a machine, the dashboard of the second shows no logs"
_NAMES = "Ray's dashboard shows trials without the names of their study and of their own"

NEXT = Internal(
    "ray.air.execution._internal.actor_manager:RayActorManager",
    "next",
    "the driver takes more of a processor, as its control loop wakes ten times a second",
    ("self", "timeout"),
)
FAILURE = Internal(_CONTROLLER, "_trial_task_failure", _TWICE, ("self", "trial", "exception"))
PICKLED_ERROR = Internal(
    "ray.tune.experiment:Trial",
    "get_pickled_error",
    "at the end of a study Ray unpickles errors that lie under its storage, where others may write",
    ("self",),
)
RESETTING = Internal(_CONTROLLER, "_resetting_trials", _TWICE)
SNAPSHOT = Internal(
    "ray.tune.execution.experiment_state:_ExperimentCheckpointManager",
    "sync_up_experiment_state",
    "Ray writes its own state, which nothing reads, again and again",
    ("self", "save_fn", "force", "wait"),
)
REPORTS = Internal(
    "ray.tune.experiment:Trial", "run_metadata", "the memory of the driver grows by 100 KiB with every trial"
)
REPORTS_OF_CHECKPOINTS = Internal(
    "ray.train._internal.checkpoint_manager:_CheckpointManager", "_checkpoint_results", REPORTS.lost
)
DEFAULT_VARIABLES = Internal("ray.tune.execution.class_cache", "DEFAULT_ENV_VARS", _PROCESSES)
OTHER_VARIABLES = Internal("ray.tune.execution.class_cache", "ENV_VARS_TO_PROPAGATE", _PROCESSES)
PORT = Internal("ray._private.node", "wait_for_persisted_port", _HANGS)
CONNECT = Internal("ray._private.worker", "connect", _HANGS)
POPEN = Internal(
    "ray._private.services",
    "ConsolePopen",
    "a signal to all processes of a study may end it with exit code 1, and without a word",
)
NODE = Internal("ray._private.worker", "_global_node", "the end of a study takes a second longer")
MONITOR = Internal(
    "ray._private.node:Node", "kill_monitor", "the end of a study takes a second longer", ("self", "check_alive")
)
AGENT_PORT = Internal("ray._private.parameter:RayParams", "dashboard_agent_listen_port", _AGENT)
PORTS = Internal("ray._private.parameter:RayParams", "update_pre_selected_port", _AGENT, ("self",))
WRAP = Internal("ray.tune.trainable.function_trainable", "wrap_function", _NAMES, ("train_func", "name"))
TASK = Internal(
    _CONTROLLER,
    "_schedule_trial_task",
    _NAMES,
    ("self", "trial", "method_name", "args", "kwargs", "on_result", "on_error", "_return_future"),
)
ACTORS_OF_TRIALS = Internal(_CONTROLLER, "_trial_to_actor", _NAMES)
ACTORS = Internal(
    "ray.air.execution._internal.actor_manager:RayActorManager", "_live_actors_to_ray_actors_resources", _NAMES
)
BRACKETS = Internal(f"{_ASHA}:AsyncHyperBandScheduler", "_brackets", _RUNGS)
BRACKET_OF_TRIAL = Internal(
    f"{_ASHA}:AsyncHyperBandScheduler", "_trial_info", "a trial that ended may enter a rung of ASHA twice"
)
RUNGS = Internal(f"{_ASHA}:_Bracket", "_rungs", _RUNGS)
CUTOFF = Internal(f"{_ASHA}:_Bracket", "cutoff", "simulate takes twenty times as long", ("self", "recorded"))

INTERNALS = (
    *(NEXT, FAILURE, PICKLED_ERROR, RESETTING, SNAPSHOT, REPORTS, REPORTS_OF_CHECKPOINTS),
    *(DEFAULT_VARIABLES, OTHER_VARIABLES),
    *(PORT, CONNECT, POPEN, NODE, MONITOR, AGENT_PORT, PORTS, WRAP, TASK, ACTORS_OF_TRIALS, ACTORS),
    *(BRACKETS, BRACKET_OF_TRIAL, RUNGS, CUTOFF),
)


def changed_internals() -> list[str]:
    """A line for each private part of Ray that is not as it was: its name, Ray's version, and what is lost."""
    changes = [(internal, internal.change()) for internal in INTERNALS]
    return [
        f"Ray {ray.__version__}: {internal.owner.replace(':', '.')}.{internal.name} {change}; {internal.lost}"
        for internal, change in changes
        if change
    ]


def usable(*internals: Internal) -> bool:
    """Returns whether private parts of Ray are all as they were."""
    return not any(internal.change() for internal in internals)


@contextmanager
def patched_control_loop() -> Iterator[None]:
    """Changes four things in Ray's control loop for the time of the block, each where this version of Ray allows it.

    The loop waits longer for events. Ray's loop wakes every 0.1 s, with 2 ms of work each time, while trials report
    once a minute; here it wakes every :data:`WAIT_S`. An event (a report, a process that is ready, a free slot) ends a
    wait at once and is not delayed. Only a signal, which is no event, may be noticed that much later.

    A process that dies between two trials does not hold up the study. Ray 2.60 reports such a death twice, as the
    failure of a process and as the failure of the trial that the process was to take. For the first report it starts
    the trial again; for the second it gives the trial up, though it never ran. It also leaves the trial marked as being
    handed over, so that no other process would take it. Here the mark is removed, and the second report is ignored.

    Ray's state is written only at the end, as nothing reads it before.

    Errors that Ray has pickled into its storage are not read again: whoever can write there could run code here.
    """

    def patient_next(ray_next: Any) -> Any:
        def wait(self: Any, timeout: float | None = None) -> Any:
            check_interrupted()
            return ray_next(self, timeout if timeout is None else max(timeout, WAIT_S))

        return wait

    def handled_once(ray_failure: Any) -> Any:
        def failure(self: Any, trial: Trial, exception: Exception) -> None:
            started_again = trial.status == Trial.PENDING and trial not in self._resetting_trials
            if started_again and isinstance(exception, RayActorError):
                return
            self._resetting_trials.discard(trial)
            ray_failure(self, trial, exception)

        return failure

    def at_the_end(ray_sync: Any) -> Any:
        def sync(self: Any, save_fn: Callable[[], None], force: bool = False, wait: bool = False) -> None:
            if force:
                ray_sync(self, save_fn, force, wait)

        return sync

    with (
        _replaced(patient_next, NEXT),
        _replaced(handled_once, FAILURE, RESETTING),
        _replaced(at_the_end, SNAPSHOT),
        _replaced(lambda _: lambda trial: None, PICKLED_ERROR),
    ):
        yield


def forget_reports(trial: Trial, keys: Iterable[str]) -> None:
    """Drops what Ray keeps of a trial that has ended, and nobody asks for: parts of the last report and of those of its
    checkpoints, and the least, highest, last and mean values of every number in all reports.

    Ray would hold them while the study runs, and write all of them at its end.
    """
    if not usable(REPORTS, REPORTS_OF_CHECKPOINTS):
        return
    metadata: Any = trial.run_metadata
    kept = [result.metrics for result in metadata.checkpoint_manager._checkpoint_results]
    for report in (metadata.last_result, *kept):
        for key in keys:
            report.pop(key, None)
    metadata.metric_analysis, metadata.metric_n_steps = {}, {}
    metadata.invalidate_cache()


@contextmanager
def _replaced(wrapped: Callable[[Any], Any], internal: Internal, *needed: Internal) -> Iterator[None]:
    """Replaces a part of Ray by what ``wrapped`` makes of it, where it and what it needs are as they were."""
    if not usable(internal, *needed):
        yield
        return
    place, name = internal.place, internal.name
    before = getattr(place, name)
    setattr(place, name, wrapped(before))
    try:
        yield
    finally:
        setattr(place, name, before)


@contextmanager
def trials_in_cluster_processes() -> Iterator[None]:
    """Lets the first trials run in processes that Ray started with the cluster, which saves a second.

    Tune asks for environment variables (some of the driver's, and one for Lightning), for which Ray starts other
    processes. The processes of a cluster that was started here have inherited the driver's variables. Those of a
    cluster that was joined have not: do not enter this block there.
    """
    with (
        _replaced(lambda _: {}, DEFAULT_VARIABLES, OTHER_VARIABLES),
        _replaced(lambda _: set(), OTHER_VARIABLES, DEFAULT_VARIABLES),
    ):
        yield


def named_trainable(
    function: Callable[..., Any], study: str, reused: bool, at_the_end: Callable[[], None] | None = None
) -> Any:
    """Returns Tune's class for a function whose actors bear the names of study and trial in Ray's dashboard.

    Ray asks an actor for its name once, when the actor starts: one that serves several trials bears the first's.

    Args:
        function: a function trainable, with its resources.
        reused: whether an actor serves several trials.
        at_the_end: called in the actor when Tune stops its trial; the actor ends when this returns.
    """
    if not usable(WRAP):
        return function
    later = " and later" if reused else ""

    def name(self: Any) -> str:
        return f"{study} {self.config['trial_id']}{later}"

    base = WRAP.place.wrap_function(function)

    def cleanup(self: Any) -> None:
        try:
            base.cleanup(self)
        finally:
            if at_the_end is not None:
                at_the_end()

    return type(f"{study} trial", (base,), {"__repr__": name, "cleanup": cleanup, "__module__": __name__})


@contextmanager
def named_tasks(study: str) -> Iterator[None]:
    """Has the tasks of trials, in the block, bear the names of study and trial: also where an actor serves several."""

    class Named:
        """Stands for an actor; the tasks that are given to it have a name."""

        def __init__(self, actor: Any, trial_id: str) -> None:
            self._actor, self._lead = actor, f"{study} {trial_id}"

        def __getattr__(self, method: str) -> Any:
            return getattr(self._actor, method).options(name=f"{self._lead} {method}")

    def naming(ray_schedule: Any) -> Any:
        def schedule(self: Any, trial: Trial, *args: Any, **settings: Any) -> Any:
            tracked = self._trial_to_actor.get(trial)
            live = self._actor_manager._live_actors_to_ray_actors_resources
            before = live.get(tracked)
            if before is None:  # the actor is not there yet, and will bear this trial's name itself
                return ray_schedule(self, trial, *args, **settings)
            stand_in = live[tracked] = (Named(before[0], trial.config["trial_id"]), *before[1:])
            try:
                return ray_schedule(self, trial, *args, **settings)
            finally:
                if live.get(tracked) is stand_in:
                    live[tracked] = before

        return schedule

    with _replaced(naming, TASK, ACTORS_OF_TRIALS, ACTORS):
        yield


@contextmanager
def interruptible_start() -> Iterator[None]:
    """Lets a signal end the start of Ray, in the block, before Ray waits for processes that the signal has ended.

    Ray's processes get a process group of their own, so that a signal to the command's group is the command's alone. A
    process whose part of Ray on this machine, its raylet, has gone is ended by Ray where it next turns to it, in C++.
    (Where the kernel does not end them with the process that started them, Ray itself ends them by their group.)

    Ray waits for the port of its first process, and then for connections, for up to 30 and 60 seconds, in code in which
    no thread of Python can do anything: neither can the one that ends a command that hangs.
    """

    def short_waits(ray_wait: Any) -> Any:
        def wait(*place: str, timeout_ms: int) -> int:
            end = time.monotonic() + timeout_ms / 1000
            while True:
                check_interrupted()
                try:
                    return int(ray_wait(*place, timeout_ms=min(timeout_ms, PORT_WAIT_MS)))
                except RuntimeError:
                    if time.monotonic() >= end:
                        raise

        return wait

    def not_in_vain(ray_connect: Any) -> Any:
        def connect(*args: Any, **settings: Any) -> Any:
            check_interrupted()
            return ray_connect(*args, **settings)

        return connect

    def in_own_group(popen: Any) -> Any:
        return partial(popen, process_group=0) if sys.platform == "linux" else popen

    with _replaced(short_waits, PORT), _replaced(not_in_vain, CONNECT), _replaced(in_own_group, POPEN):
        yield


@contextmanager
def any_agent_port() -> Iterator[None]:
    """Lets a cluster that is started in the block take any free port for the process that serves logs to the dashboard.

    Ray would take the same port for all clusters of a machine, and the second would go without that process.
    """

    def free(ray_update: Any) -> Any:
        def update(self: Any) -> None:
            self.dashboard_agent_listen_port = 0
            ray_update(self)

        return update

    with _replaced(free, PORTS, AGENT_PORT):
        yield


def kill_monitor() -> None:
    """Ends the monitor of Ray's autoscaler, in a cluster that this process started.

    Once its cluster is gone it answers no signal, and Ray would wait a second for it.
    """
    node: Any = NODE.place._global_node if usable(NODE, MONITOR) else None
    if node is not None:
        node.kill_monitor(check_alive=False)


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
