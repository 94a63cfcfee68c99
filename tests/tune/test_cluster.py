"""What is done while Ray starts, in whose processes trials run, and that Ctrl-C is heard throughout."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner
from ray.tune.execution.class_cache import _ActorClassCache

from autogan_ray.cli import main
from autogan_ray.tune import cluster
from autogan_ray.tune.control import workers_at_hand


def test_what_is_imported_ahead_is_what_a_driver_needs_next() -> None:
    script = "import sys; from autogan_ray.tune import cluster, runner; assert 'torch' not in sys.modules\n"
    script += "cluster.import_next(); before = set(sys.modules)\n"
    script += "import torch, optuna, ray.tune, autogan_ray.metrics.study, autogan_ray.search.loop\n"
    script += "print(sorted(set(sys.modules) - before))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_an_import_that_fails_is_left_to_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fail(name: str) -> None:
        asked.append(name)
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", fail)
    cluster.import_next()
    assert asked == list(cluster._NEXT)


def test_ctrl_c_while_ray_starts_is_raised_when_it_has_and_a_second_one_at_once() -> None:
    known = signal.getsignal(signal.SIGINT)
    reached = []
    with pytest.raises(KeyboardInterrupt), cluster.interrupts_kept():
        signal.raise_signal(signal.SIGINT)
        reached.append("the end")
    assert reached == ["the end"] and signal.getsignal(signal.SIGINT) is known
    with pytest.raises(KeyboardInterrupt), cluster.interrupts_kept():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        reached.append("not here")
    with pytest.raises(ZeroDivisionError), cluster.interrupts_kept():
        raise ZeroDivisionError
    assert reached == ["the end"] and signal.getsignal(signal.SIGINT) is known


class Trainable:
    """Ray's cache looks at the class alone."""


def environment(cache: Any) -> dict[str, str]:
    """That Tune asks of Ray for a trial's process."""
    return dict(cache.get(Trainable)._default_options["runtime_env"].get("env_vars", {}))


def test_trials_ask_for_no_other_environment_than_ray_s_processes_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "AWS_ACCESS_KEY_ID", "k")
    outside = environment(_ActorClassCache())
    assert outside.items() >= {"AWS_ACCESS_KEY_ID": "k"}.items() and len(outside) > 1
    with workers_at_hand():
        assert environment(_ActorClassCache()) == {}
    with pytest.raises(KeyError), workers_at_hand():
        raise KeyError
    assert environment(_ActorClassCache()) == outside


class RayWasStarted(Exception):
    pass


@pytest.mark.parametrize(
    ("message", "setting"),
    [
        ("data 'digits' has 600 images", "metrics.n_real=5000"),
        ("fewer than one batch of 500", "search.batch_size=500"),
        ("is not a folder", "data.source=imagefolder:nowhere"),
        ("w.pth does not exist", "metrics.weights=w.pth"),
    ],
)
def test_what_is_wrong_with_the_data_is_told_before_ray_starts(
    message: str, setting: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    def start(*_: Any) -> None:
        raise RayWasStarted

    monkeypatch.setattr(cluster, "cluster", start)
    monkeypatch.chdir(tmp_path)
    extractor = ["--set", "metrics.extractor=inception-v3-compat"] if "weights" in setting else []
    found = CliRunner().invoke(main, ["run", "smoke", "--set", setting, *extractor])
    assert found.exit_code == 2 and message in found.output.replace("\n", " ")
    assert isinstance(CliRunner().invoke(main, ["run", "smoke"]).exception, RayWasStarted)
