"""One process at a time works in a folder; who finds another there is told which; a dead one locks nothing."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autogan_ray.base.errors import ResultsError
from autogan_ray.results import lock
from autogan_ray.results.lock import HOLDER, check_free, is_held, sole_driver
from tests.tune.conftest import ask

SCRIPT = """
import sys, time
from pathlib import Path
from autogan_ray.results.lock import sole_driver
with sole_driver(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of the folder ``results/smoke``."""
    folder = tmp_path / "results" / "smoke"
    folder.mkdir(parents=True)
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    with process:
        yield process
        process.kill()


def test_a_second_driver_is_told_who_the_first_is_and_a_dead_one_locks_nothing(
    other: subprocess.Popen[str], tmp_path: Path
) -> None:
    folder = tmp_path / "results" / "smoke"
    for ask_for in (sole_driver(folder).__enter__, lambda: check_free(folder)):
        with pytest.raises(ResultsError, match=rf"process {other.pid} on host '{socket.gethostname()}', since 2\d+"):
            ask_for()
    assert is_held(folder) and json.loads((folder / HOLDER).read_text())["pid"] == other.pid, "the holder's stays"
    other.kill()
    other.wait()
    assert (folder / HOLDER).exists() and not is_held(folder)
    for _ in range(2):
        with sole_driver(folder):
            assert json.loads((folder / HOLDER).read_text())["pid"] == os.getpid()
    assert not list(folder.iterdir())


def test_run_and_retrain_are_refused_before_any_work(
    other: subprocess.Popen[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ask("run", "smoke", "--dry-run", "--name", "imports")  # so that what is timed are no imports
    start = time.monotonic()
    found = ask("run", "smoke", "--resume", "--new")
    assert found.exit_code == 2 and f"process {other.pid} on host" in found.output and "preparing" not in found.output
    assert time.monotonic() - start < 1.0
    (tmp_path / "results" / "smoke").rename(tmp_path / "results" / "retrain")
    found = ask("retrain", "results")
    assert found.exit_code == 2 and f"process {other.pid} on host" in found.output


@pytest.mark.parametrize(
    ("holder", "age_s", "held"),
    [
        ({"host": socket.gethostname(), "pid": 2**22 + 1}, 0, False),  # above any pid: its process is gone
        ({"host": socket.gethostname(), "pid": 1}, 9999, True),
        ({"host": "elsewhere", "pid": 1}, 5, True),
        ({"host": "elsewhere", "pid": 1}, 9999, False),
        ({"host": "elsewhere", "pid": 1}, -86400, False),  # a clock was set back since
        ({}, 9999, False),
    ],
)
def test_without_locks_of_the_file_system_the_holder_is_known_by_its_process_or_its_touch(
    holder: dict[str, Any], age_s: float, held: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert not is_held(tmp_path)
    (tmp_path / HOLDER).write_text(json.dumps(holder | {"since": 1.7e9}))
    os.utime(tmp_path / HOLDER, (time.time() - age_s,) * 2)
    assert is_held(tmp_path) == held
    if held:
        with (
            pytest.raises(ResultsError, match=rf"process 1 on host '{holder['host']}', since 2023"),
            sole_driver(tmp_path),
        ):
            raise AssertionError
        assert json.loads((tmp_path / HOLDER).read_text())["host"] == holder["host"]
    else:
        with sole_driver(tmp_path):
            assert not is_held(tmp_path), "its own"


def test_a_torn_file_of_the_holder_is_no_trouble(tmp_path: Path) -> None:
    for text in ("", "{", "[]", '{"pid": "x", "host": 3, "since": "then"}', '{"pid": 1e999, "since": 1e99}'):
        (tmp_path / HOLDER).write_text(text)
        check_free(tmp_path)
        with sole_driver(tmp_path):
            pass


def test_a_holder_touches_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "TOUCHED_EVERY_S", 0.01)
    with sole_driver(tmp_path):
        os.utime(tmp_path / HOLDER, (0, 0))
        end = time.monotonic() + 20
        while (tmp_path / HOLDER).stat().st_mtime == 0:
            assert time.monotonic() < end
            time.sleep(0.01)
