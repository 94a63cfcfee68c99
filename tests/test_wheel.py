"""The wheel, installed without its dependencies into a bare environment that sees the present ones."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_installed_wheel_works_from_another_folder(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "bare", with_pip=False)
    python = tmp_path / "bare" / "bin" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = tmp_path / "bare" / "lib" / version / "site-packages"
    target = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run(target, check=True, capture_output=True)
    # The other packages come from here; the editable install of this checkout does not, as .pth files are not read.
    environment = os.environ | {"PYTHONPATH": sysconfig.get_path("purelib")}

    def run(*arguments: str, ends: tuple[int, ...] = (0,)) -> str:
        code = [str(python), "-c", "from autogan_ray.cli.main import main; main()", *arguments]
        found = subprocess.run(code, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert found.returncode in ends, found.stderr
        return found.stdout

    where = subprocess.run(
        [str(python), "-c", "import autogan_ray; print(autogan_ray.__file__)"],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(site))
    assert "adversarialnas" in run("spaces")
    assert "missing    nothing" in run("run", "digits", "--dry-run")
    assert "8 trials side by side" in run("run", "--gpus", "8", "--dry-run", ends=(0, 1))  # 1: no GPUs here
