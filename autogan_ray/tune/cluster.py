"""A Ray cluster for the time of a study: started on this machine, on loopback, or joined."""

from __future__ import annotations

import importlib
import logging
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from autogan_ray.base.errors import ConfigError, MachineError
from autogan_ray.base.folders import check_writable
from autogan_ray.base.machine import usable_cpus
from autogan_ray.base.signals import interrupted, interrupts_deferred
from autogan_ray.study.plan import Plan

# Set before Ray is imported: loopback only, no usage report, trials keep the driver's folder, signals are ours, quiet.
ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
}

_SOCKET_BYTES = 107
"""What Linux allows for the path of a socket."""
_LONGEST_SOCKET = "session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"

_CONNECT_S = 5.0
"""How long a cluster's head may take to accept a connection."""

# In the order in which a study needs them. The first brings torch; Ray needs the last two to serialise values.
_IMPORTED_AHEAD = (
    *("autogan_ray.metrics.measure", "autogan_ray.tune.trainable", "autogan_ray.tune.optuna_search"),
    *("autogan_ray.tune.recorder", "autogan_ray.tune.asha", "autogan_ray.tune.ray_internals"),
    *("pydantic.v1", "pyarrow.json"),
)


@contextmanager
def cluster(plan: Plan, address: str | None, storage: str | None = None) -> Iterator[str | None]:
    """Joins the cluster at ``address``, or starts one on loopback (None); gives the dashboard's address.

    Raises ConfigError where no cluster answers, where it has fewer GPUs than the plan, or several nodes and no storage
    that all of them reach; and MachineError where Ray does not start.
    """
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    import ray

    # Before the thread: two threads that import Ray's modules, which import each other in circles, wait for each other.
    importlib.import_module("autogan_ray.tune.ray_internals")

    # The imports go into the thread, not Ray: Ray's processes end with the thread that started them.
    ahead = threading.Thread(target=import_ahead, name="imports")
    ahead.start()
    try:
        context = _start(plan) if address is None else _join(address)
        ahead.join()
        token = Path.home() / ".ray" / "auth_token"
        if token.is_file():
            token.chmod(0o600)  # Ray leaves it readable to all
        available = int(ray.cluster_resources().get("GPU", 0))
        if plan.gpus > available:
            raise ConfigError(f"GPUs: {plan.gpus} asked for by --gpus, {available} in the cluster at {address}")
        nodes = sum(node["Alive"] for node in ray.nodes())
        if nodes > 1 and storage is None:
            raise ConfigError(
                f"--address {address}: the cluster has {nodes} nodes, and checkpoints would lie on one of them alone; "
                "name a place that all nodes reach: --storage /shared/checkpoints, or s3://bucket/path"
            )
        yield context.dashboard_url or None
    finally:
        ahead.join()
        _end()


def _start(plan: Plan) -> Any:
    try:
        return _init(
            address="local",
            _temp_dir=_closed(_own_folder()),
            num_cpus=max(usable_cpus(), int(plan.slots * plan.study.tune.cpus_per_trial)),
            num_gpus=plan.gpus,
            include_dashboard=True,
            dashboard_host="127.0.0.1",
        )
    except Exception as error:
        logs = _own_folder() / "session_latest" / "logs"
        raise MachineError(
            f"Ray did not start on this machine ({' '.join(str(error).split())[:300]}): it may be too busy, or short "
            f"of memory or disk, which doctor tells; Ray's logs are in {logs}"
        ) from error


def _own_folder() -> Path:
    """Where Ray keeps the folders of its sessions: closed to other users, as every process of Ray opens its own."""
    base = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
    return base / f"ray-{os.getuid()}" / "ray"


def _closed(folder: Path) -> str | None:
    """Makes the folder above Ray's own, mode 0700; returns Ray's, None where that cannot be and so is Ray's usual."""
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.parent.chmod(0o700)  # fails for a folder of another user
        return str(folder)
    except OSError as error:
        words = (
            f"{folder.parent} cannot be closed to other users ({error.strerror}): they can read Ray's logs and errors"
        )
        logging.getLogger(__name__).warning(words)
        return None


def _init(**settings: Any) -> Any:
    """Calls ``ray.init``, which would take SIGTERM for itself; a signal meanwhile is raised at its end.

    Ray forks five times at its start. An interrupt during a fork is raised in a function that Python itself calls then,
    and is ignored there: of 25 interrupts one was lost, and the study ran to its end.
    """
    import ray

    from autogan_ray.tune.ray_internals import any_agent_port, interruptible_start

    with interrupts_deferred(), interruptible_start(), any_agent_port():
        return ray.init(**settings, log_to_driver=False, logging_level=logging.ERROR)


def check_start() -> None:
    """Checks that Ray can start here: its sockets' paths are short enough, and it can keep its token.

    Raises ConfigError naming the variable to set.
    """
    variable = next((name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)), None)
    if variable is not None and sys.platform == "linux":
        folder = os.path.join(os.environ[variable], f"ray-{os.getuid()}", "ray", _LONGEST_SOCKET)
        if len(os.fsencode(folder)) > _SOCKET_BYTES:
            raise ConfigError(
                f"{variable} = {os.environ[variable]!r} is too long: Ray makes sockets below it, whose paths may have "
                f"{_SOCKET_BYTES} bytes and would have {len(os.fsencode(folder))}; set RAY_TMPDIR=/tmp"
            )
    token = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if os.environ.get("RAY_AUTH_MODE") != "disabled" and "RAY_AUTH_TOKEN" not in os.environ and not token.is_file():
        check_writable(token.parent, "HOME (where Ray keeps its token)")


def check_address(address: str) -> None:
    """Checks that something listens at a cluster's address, as Ray itself would wait for minutes.

    Raises ConfigError.
    """
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ConfigError(
            f"--address {address!r}: give 'auto', or HOST:PORT of a running cluster such as 10.0.0.1:6379; leave it "
            "out to start one here"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except OSError as error:
        raise ConfigError(
            f"--address {address!r}: nothing answers there ({error.strerror or error}); 'ray start --head' starts a "
            "cluster and prints its address; leave --address out to start one here"
        ) from error


def _join(address: str) -> Any:
    try:
        return _init(address=address)
    except ConnectionError as error:
        raise ConfigError(
            f"--address {address!r}: no Ray cluster answers; 'ray start --head' starts one; leave --address out to "
            f"start one here ({str(error).splitlines()[0]})"
        ) from error


def import_ahead() -> None:
    """Imports what the driver needs next, while Ray starts: both take about as long."""
    for name in _IMPORTED_AHEAD:
        with suppress(Exception):  # the error comes again where the module is used
            importlib.import_module(name)


def _end() -> None:
    """Leaves the cluster, and ends it where it was started here.

    Where a signal ends the command, nothing is asked of Ray: its processes may be gone by the same signal, and Ray
    would wait a minute for them. The end of the command takes those of a cluster that was started here with it, and a
    cluster that was joined ends the trials of a driver that is gone.
    """
    import ray

    from autogan_ray.tune.ray_internals import kill_monitor

    if interrupted():
        return
    kill_monitor()
    ray.shutdown()
