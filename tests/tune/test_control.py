"""The control loop waits for events, and lets no trial wait for a process that is gone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.tune.execution.tune_controller import TuneController

from autogan_ray.tune.control import WAIT_S, control_loop


def test_inside_a_wait_is_longer_and_afterwards_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float | None] = []

    def known(manager: Any, timeout: float | None = None) -> bool:
        asked.append(timeout)
        return True

    monkeypatch.setattr(RayActorManager, "next", known)
    with control_loop():
        for timeout in (0.1, None, 5.0):
            assert RayActorManager.next(None, timeout=timeout)  # type: ignore[arg-type]
    assert asked == [WAIT_S, None, 5.0]
    assert RayActorManager.next is known
    with pytest.raises(KeyError), control_loop():
        raise KeyError
    assert RayActorManager.next is known


def test_a_failure_ends_the_handing_over_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(TuneController, "_trial_task_failure", lambda self, trial, error: told.append((trial, error)))
    loop: Any = SimpleNamespace(_resetting_trials={"a", "b"})
    error = ValueError()
    with control_loop():
        TuneController._trial_task_failure(loop, "a", error)  # type: ignore[arg-type]
        TuneController._trial_task_failure(loop, "c", error)  # type: ignore[arg-type]
    assert loop._resetting_trials == {"b"} and told == [("a", error), ("c", error)]
