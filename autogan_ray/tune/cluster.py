"""Ray for the time of a study: started here on loopback, or joined."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from autogan_ray.base.errors import ConfigError
from autogan_ray.study.plan import Plan

# Set before Ray is imported: loopback only, no usage report, trials keep the driver's folder, quiet.
ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
}

_PATIENCE_S = 5.0
"""For a cluster's head to take a connection."""

# In the order in which they are wanted; torch comes with the first. Ray asks for the last two to hand over values.
_NEXT = (
    *("autogan_ray.metrics.measure", "autogan_ray.tune.trainable", "autogan_ray.tune.optuna_search"),
    *("autogan_ray.tune.recorder", "autogan_ray.tune.asha", "autogan_ray.tune.ray_internals"),
    *("pydantic.v1", "pyarrow.json"),
)


@contextmanager
def cluster(plan: Plan, address: str | None) -> Iterator[str | None]:
    """Ray for one study; gives the dashboard's address. Joins ``address``, or starts a cluster on loopback.

    Raises ConfigError where a joined cluster has fewer GPUs than asked for.
    """
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    import ray

    # Not Ray in a thread and the imports here: its processes end with the thread that started them.
    ahead = threading.Thread(target=import_next, name="imports")
    ahead.start()
    try:
        context = _start(plan) if address is None else _join(address)
        ahead.join()
        token = Path.home() / ".ray" / "auth_token"
        if token.is_file():
            token.chmod(0o600)  # Ray leaves it readable to all
        there = int(ray.cluster_resources().get("GPU", 0))
        if plan.gpus > there:
            raise ConfigError(f"GPUs: {plan.gpus} asked for by --gpus, {there} in the cluster at {address}")
        yield context.dashboard_url or None
    finally:
        ahead.join()
        _end()


def _start(plan: Plan) -> Any:
    import ray

    with interrupts_kept():
        return ray.init(
            address="local",
            num_cpus=max(os.cpu_count() or 1, int(plan.slots * plan.study.tune.cpus_per_trial)),
            num_gpus=plan.gpus,
            include_dashboard=True,
            dashboard_host="127.0.0.1",
            log_to_driver=False,
            logging_level=logging.ERROR,
        )


def check_address(address: str) -> None:
    """Raises ConfigError for what is no address of a cluster, or one where nothing listens: Ray would wait minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ConfigError(
            f"--address {address!r}: give 'auto', or HOST:PORT of a running cluster such as 10.0.0.1:6379; leave it "
            "out to start one here"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE_S).close()
    except OSError as error:
        raise ConfigError(
            f"--address {address!r}: nothing answers there ({error.strerror or error}); 'ray start --head' starts a "
            "cluster and prints its address; leave --address out to start one here"
        ) from error


def _join(address: str) -> Any:
    import ray

    try:
        return ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise ConfigError(
            f"--address {address!r}: no Ray cluster answers; 'ray start --head' starts one; leave --address out to "
            f"start one here ({str(error).splitlines()[0]})"
        ) from error


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """Inside, Ctrl-C is kept to be raised at the end; a second one is raised at once.

    Ray forks five times at its start. An interrupt in the moment of a fork is raised in what Python itself calls then,
    and ignored there: of 25 one was lost, and the study ran to its end. At other moments Ray leaves processes behind.
    """
    seen: list[int] = []

    def interrupt(signum: int, frame: Any) -> None:
        seen.append(signum)
        if len(seen) > 1:
            raise KeyboardInterrupt

    known = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, known)
    if seen:
        raise KeyboardInterrupt


def import_next() -> None:
    """What a driver needs next; it is imported while Ray starts, which takes as long."""
    for name in _NEXT:
        with suppress(Exception):  # told where the module is wanted
            importlib.import_module(name)


def _end() -> None:
    """Leave Ray, or end it where it was started here.

    The monitor of its autoscaler is ended first: once the cluster it asks is gone it hears no signal, and Ray would
    wait a second for it.
    """
    import ray
    from ray._private import worker

    node: Any = worker._global_node
    if node is not None:
        node.kill_monitor(check_alive=False)
    ray.shutdown()
