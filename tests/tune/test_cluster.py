"""What is done while Ray starts, in whose processes trials run, and that signals are heard throughout."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from click.testing import CliRunner
from PIL import Image
from ray.tune.execution.class_cache import _ActorClassCache

from autogan_ray.base import signals
from autogan_ray.cli.main import main
from autogan_ray.tune import cluster
from autogan_ray.tune.ray_internals import trials_in_cluster_processes


def test_everything_that_a_driver_needs_next_is_imported_ahead() -> None:
    script = "import sys; from autogan_ray.tune import cluster, runner; assert 'torch' not in sys.modules\n"
    script += "cluster.import_ahead(); before = set(sys.modules)\n"
    script += "import torch, optuna, ray.tune, autogan_ray.metrics.measure, autogan_ray.search.loop\n"
    script += "from autogan_ray.tune import asha, optuna_search, ray_internals, recorder, resume, trainable\n"
    script += "from unittest.mock import MagicMock\n"
    script += (
        "from ray.util.serialization_addons import apply; apply(MagicMock())  # as before a value is handed over\n"
    )
    script += "late = set(sys.modules) - before - {'unittest.mock', 'ray.util.serialization_addons'}\n"
    script += "print(sorted(late - {'ray._private.arrow_serialization'}))  # a page of Ray's own"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_an_import_that_fails_ahead_fails_again_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fail(name: str) -> None:
        asked.append(name)
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", fail)
    cluster.import_ahead()
    assert asked == list(cluster._IMPORTED_AHEAD)


PLAN: Any = SimpleNamespace(slots=1, gpus=0, study=SimpleNamespace(tune=SimpleNamespace(cpus_per_trial=1)))


@pytest.mark.parametrize(("enter", "given"), [(cluster._start, PLAN), (cluster._join, "10.0.0.1:6379")])
def test_a_signal_that_ray_would_take_for_itself_is_an_interrupt(
    enter: Callable[[Any], Any], given: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "_state", signals._State())
    known = signal.signal(signal.SIGTERM, signals._interrupt)

    def init(**_: Any) -> None:
        signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(signum))  # as Ray does
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(ray, "init", init)
    try:
        with pytest.raises(KeyboardInterrupt):
            enter(given)
        assert signal.getsignal(signal.SIGTERM) is signals._interrupt
    finally:
        signal.signal(signal.SIGTERM, known)


@pytest.mark.ray
def test_a_ray_that_does_not_start_in_its_time_is_one_message(tmp_path: Path) -> None:
    late = {**os.environ, "RAY_gcs_server_port_wait_time_s": "0"}
    # Without it the file may be there already, as it happens, when Ray first looks.
    body = """
import ray._private.node as node
def not_there(*place, timeout_ms):
    raise RuntimeError("Timed out waiting for file " + "/".join(place))
node.wait_for_persisted_port = not_there
from autogan_ray.cli.main import main
main(["run", "smoke"], prog_name="autogan-ray")
"""
    typed = [sys.executable, "-c", body]
    done = subprocess.run(typed, cwd=tmp_path, env=late, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "Error: Ray did not start on this machine (Timed out waiting for file" in done.stderr
    assert "session_latest/logs" in done.stderr and not (tmp_path / "results").exists()


def test_nothing_is_asked_of_a_ray_that_the_signal_may_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(ray, "shutdown", lambda: asked.append("shutdown"))
    monkeypatch.setattr(cluster, "interrupted", lambda: True)
    cluster._end()
    assert asked == []
    monkeypatch.setattr(cluster, "interrupted", lambda: False)
    cluster._end()
    assert asked == ["shutdown"]


class Trainable:
    """Ray's cache looks at the class alone."""


def environment(cache: Any) -> dict[str, str]:
    """That Tune asks of Ray for a trial's process."""
    return dict(cache.get(Trainable)._default_options["runtime_env"].get("env_vars", {}))


def test_trials_can_run_in_the_processes_that_ray_started_with_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "AWS_ACCESS_KEY_ID", "k")
    outside = environment(_ActorClassCache())
    assert outside.items() >= {"AWS_ACCESS_KEY_ID": "k"}.items() and len(outside) > 1
    with trials_in_cluster_processes():
        assert environment(_ActorClassCache()) == {}
    with pytest.raises(KeyError), trials_in_cluster_processes():
        raise KeyError
    assert environment(_ActorClassCache()) == outside


class RayWasStarted(Exception):
    pass


INCEPTION = "metrics.extractor=inception-v3-compat"


@pytest.mark.parametrize(
    ("message", "settings"),
    [
        ("data 'digits' has 600 images", ["metrics.n_real=5000"]),
        ("fewer than one batch of 500", ["search.batch_size=500"]),
        ("is not a folder", ["data.source=imagefolder:nowhere"]),
        ("w.pth does not exist", [INCEPTION, "metrics.weights=w.pth"]),
        ("sha256 is e3b0c44298fc1c14..., expected 6726825d", [INCEPTION, "metrics.weights=torn.pth"]),
        ("this data set has none", ["data.source=imagefolder:grey", "metrics.n_real=4", "search.batch_size=2"]),
        ("image size 17 px: it must be", ["data.image_size=17"]),
        ("latent_dim = 9: space 'adversarialnas' cuts z into 2 equal parts", ["model.latent_dim=9"]),
        ("at most 2 levels", ["search.relaxation=own", "search.method=reinforce", "search.levels=3"]),
    ],
)
def test_wrong_data_weights_or_sizes_are_named_before_ray_starts(
    message: str, settings: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "torn.pth").touch()
    (tmp_path / "grey").mkdir()
    for name in "abcd":
        Image.new("L", (8, 8)).save(tmp_path / "grey" / f"{name}.png")

    def start(*_: Any) -> None:
        raise RayWasStarted

    monkeypatch.setattr(cluster, "cluster", start)
    monkeypatch.chdir(tmp_path)
    asked = [word for setting in settings for word in ("--set", setting)]
    found = CliRunner().invoke(main, ["run", "smoke", "--space", "adversarialnas", *asked])
    assert found.exit_code == 2 and message in found.output.replace("\n", " "), found.output
    assert isinstance(CliRunner().invoke(main, ["run", "smoke"]).exception, RayWasStarted)
