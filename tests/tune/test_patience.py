"""The driver waits for events; nothing that ends a wait is made later by it."""

from __future__ import annotations

from typing import Any

import pytest
from ray.air.execution._internal.actor_manager import RayActorManager

from autogan_ray.tune.patience import WAIT_S, patient_driver


def test_inside_a_wait_is_longer_and_afterwards_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float | None] = []

    def known(manager: Any, timeout: float | None = None) -> bool:
        asked.append(timeout)
        return True

    monkeypatch.setattr(RayActorManager, "next", known)
    with patient_driver():
        assert RayActorManager.next(None, timeout=0.1)  # type: ignore[arg-type]
        RayActorManager.next(None, timeout=None), RayActorManager.next(None, timeout=5.0)  # type: ignore[arg-type]
    assert asked == [WAIT_S, None, 5.0]
    assert RayActorManager.next is known
    with pytest.raises(KeyError), patient_driver():
        raise KeyError
    assert RayActorManager.next is known
