"""The processors that a process may use: those of the scheduler and of the container, not those of the machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autogan_ray.base import machine


@pytest.fixture(autouse=True)
def no_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


def test_the_affinity_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.usable_cpus() == 64
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 17})
    assert machine.usable_cpus() == 2


@pytest.mark.parametrize(("limit", "cpus"), [("max 100000", 64), ("250000 100000", 3), ("5000 100000", 1), ("x", 64)])
def test_the_quota_of_a_control_group_counts(tmp_path: Path, limit: str, cpus: int) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    assert machine.usable_cpus() == cpus


@pytest.mark.parametrize(("quota", "cpus"), [(-1, 64), (400000, 4)])
def test_so_does_the_quota_of_the_older_control_groups(tmp_path: Path, quota: int, cpus: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert machine.usable_cpus() == cpus
