"""Studies run by the real command line in a process of its own, as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from autogan_ray.cli.main import main

ROOT = Path(__file__).parent.parent.parent


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "autogan_ray", *arguments]


def run(*arguments: str, cwd: Path, check: bool = True, timeout: int = 280) -> subprocess.CompletedProcess[str]:
    found = subprocess.run(
        command(*arguments), cwd=cwd, capture_output=True, text=True, timeout=timeout, env=os.environ
    )
    assert not check or found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    return found


def ask(*arguments: str) -> Result:
    """A verb in this process: for those that start neither Ray nor a training."""
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """A finished study of three trials, one at a time; its folder."""
    folder = tmp_path_factory.mktemp("smoke")
    run("run", "smoke", "--trials", "3", "--set", "tune.max_concurrent=1", cwd=folder)
    return folder / "results" / "smoke"
