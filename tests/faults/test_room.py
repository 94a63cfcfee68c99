"""Full disks: one message, exit code 1, and the undisturbed history when there is room again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.tune.conftest import run
from tests.tune.test_study import history

pytestmark = [pytest.mark.faults, pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 1 MiB; tests are skipped where none can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    made = (
        os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place]).returncode == 0
    )
    if not made:
        pytest.skip("no disk can be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def resized(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True)


def test_a_full_study_folder_ends_the_run_with_its_place_and_room_made_gives_the_same_history(
    smoke: Path, disk: Path, tmp_path: Path
) -> None:
    study = ["run", "smoke", "--trials", "3", "--set", "tune.max_concurrent=1", "--out", str(disk), "--resume", "--new"]
    found = run(*study, cwd=tmp_path, check=False)
    assert found.returncode == 1 and "Traceback" not in found.stderr, found.stdout + found.stderr
    said = " ".join((found.stdout + found.stderr).split())
    assert "No space left on device" in said and "--resume" in said and str(disk) in said
    resized(disk, "size=64m")
    run(*study, cwd=tmp_path)
    pd.testing.assert_frame_equal(history(smoke), history(disk / "smoke"), check_exact=True)


def test_a_full_storage_ends_the_run_at_the_first_trial_and_room_made_gives_the_same_history(
    smoke: Path, disk: Path, tmp_path: Path
) -> None:
    study = ["run", "smoke", "--trials", "3", "--set", "tune.max_concurrent=1", "--resume", "--new"]
    study += ["--storage", str(disk)]
    (disk / "filler").write_bytes(bytes(2**20 - 2**16))
    found = run(*study, cwd=tmp_path, check=False)
    assert found.returncode == 1 and "Traceback" not in found.stderr, found.stdout + found.stderr
    said = " ".join((found.stdout + found.stderr).split())
    assert "No space left on device" in said and "make room" in said and "--resume" in said
    trials = pd.read_parquet(tmp_path / "results" / "smoke" / "trials.parquet")
    assert trials["status"].tolist() == ["interrupted"], "no further trial was tried"
    resized(disk, "size=64m")
    run(*study, cwd=tmp_path)
    pd.testing.assert_frame_equal(history(smoke), history(tmp_path / "results" / "smoke"), check_exact=True)
