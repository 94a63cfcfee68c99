"""Processors and memory that a process may use: those of the scheduler and container, not those of the machine."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from autogan_ray.base import machine


@pytest.fixture(autouse=True)
def no_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    monkeypatch.setattr(machine, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    memory = psutil.virtual_memory()._replace(available=64 * 2**30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
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


@pytest.mark.parametrize("group", ["", "job", "job/step", "elsewhere/not/here"])
def test_the_tightest_control_group_above_the_process_counts(tmp_path: Path, group: str) -> None:
    (tmp_path / "own").write_text(f"3:cpuset:/x\n0::/{group}\n")
    (tmp_path / "job/step").mkdir(parents=True)
    for folder, limit in ((".", 8), ("job", 3), ("job/step", 5)):
        (tmp_path / folder / "cpu.max").write_text(f"{limit}00000 100000")
        (tmp_path / folder / "memory.max").write_text(f"{limit * 2**30}")
        (tmp_path / folder / "memory.current").write_text(f"{2**30}")
    assert machine.usable_cpus() == (3 if "job" in group else 8)
    assert machine.usable_memory_gib() == (2.0 if "job" in group else 7.0)


@pytest.mark.parametrize("own", ["4:cpuset,memory:/job\n2:cpu,cpuacct:/job\n", "no group"])
def test_so_does_that_of_the_older_control_groups(tmp_path: Path, own: str) -> None:
    (tmp_path / "own").write_text(own if ":" in own else "")
    folder = tmp_path / "memory" / ("job" if ":" in own else "")
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text(f"{2 * 2**30}")
    (folder / "memory.usage_in_bytes").write_text(f"{2**31 - 2**28}")
    (folder / "memory.stat").write_text(f"total_cache 9\ntotal_inactive_file {2**28}\n")
    assert machine.usable_memory_gib() == 0.5


def test_memory_without_a_limit_is_the_machines(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("5")
    assert machine.usable_memory_gib() == 64
