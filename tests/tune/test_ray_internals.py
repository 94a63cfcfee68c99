"""The control loop waits for events, and lets no trial wait for a process that is gone."""

from __future__ import annotations

import gc
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import RayActorError
from ray.tune.execution.experiment_state import _ExperimentCheckpointManager
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

from autogan_ray.base.errors import ResultsError
from autogan_ray.results.lock import is_held, sole_driver
from autogan_ray.tune.ray_internals import WAIT_S, imports_frozen, patched_control_loop


def test_the_control_loop_waits_longer_inside_the_block_and_as_before_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float | None] = []

    def known(manager: Any, timeout: float | None = None) -> bool:
        asked.append(timeout)
        return True

    monkeypatch.setattr(RayActorManager, "next", known)
    with patched_control_loop():
        for timeout in (0.1, None, 5.0):
            assert RayActorManager.next(None, timeout=timeout)  # type: ignore[arg-type]
    assert asked == [WAIT_S, None, 5.0]
    assert RayActorManager.next is known
    with pytest.raises(KeyError), patched_control_loop():
        raise KeyError
    assert RayActorManager.next is known


@dataclass(eq=False)
class Waiting:
    status: str


def test_the_death_of_a_process_between_two_trials_is_handled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(TuneController, "_trial_task_failure", lambda self, trial, error: heard.append((trial, error)))
    handed, running, other = (Waiting(status) for status in (Trial.PENDING, Trial.RUNNING, Trial.PENDING))
    loop: Any = SimpleNamespace(_resetting_trials={handed, other})
    death, slip = RayActorError(), ValueError()
    with patched_control_loop():
        for trial, error in ((handed, death), (handed, death), (running, death), (handed, slip)):
            TuneController._trial_task_failure(loop, trial, error)  # type: ignore[arg-type]
    assert heard == [(handed, death), (running, death), (handed, slip)]
    assert loop._resetting_trials == {other}


def test_rays_own_state_is_written_only_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[Any, ...]] = []
    manager: Any = _ExperimentCheckpointManager
    monkeypatch.setattr(manager, "sync_up_experiment_state", lambda self, *how: written.append(how))
    known = manager.sync_up_experiment_state
    with patched_control_loop():
        manager.sync_up_experiment_state(None, print)
        manager.sync_up_experiment_state(None, save_fn=print, force=True, wait=True)
    assert written == [(print, True, True)] and manager.sync_up_experiment_state is known


def test_imported_objects_are_excluded_from_garbage_collection() -> None:
    gc.unfreeze()
    before = gc.get_freeze_count()
    with imports_frozen():
        assert gc.get_freeze_count() > before + 10_000
    assert gc.get_freeze_count() == 0


def test_a_study_has_one_driver_and_a_dead_driver_locks_nothing(tmp_path: Path) -> None:
    script = "import sys, time; from pathlib import Path; from autogan_ray.results.lock import sole_driver\n"
    script += "with sole_driver(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    other = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdout.readline() == "held\n"
    with pytest.raises(ResultsError, match="another process is running this study"), sole_driver(tmp_path):
        raise AssertionError
    assert is_held(tmp_path)
    other.kill()
    other.wait()
    assert not is_held(tmp_path)
    for _ in range(2):
        with sole_driver(tmp_path):
            pass
    assert not list(tmp_path.iterdir())
