"""Imports run one way: values know nothing, networks know values, loops networks and metrics, Ray the loops."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "autogan_ray"
FLOORS = (
    *("base", "spaces", "config", "nets", "training", "metrics"),
    *("search", "results", "study", "tune", "retraining", "cli"),
)
"""The folders of the package: each may import from itself and from those before it."""
VALUES = FLOORS[:3]
"""What may know neither torch nor numpy."""


def modules() -> list[Path]:
    """Every file of the package that stands in a folder."""
    return [file for file in sorted(PACKAGE.rglob("*.py")) if file.parent != PACKAGE]


def floor(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0]


def imports(file: Path) -> list[str]:
    """Dotted names of all modules that a file imports anywhere, ``TYPE_CHECKING`` blocks included."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return found


def test_every_folder_of_the_package_has_its_floor() -> None:
    assert {floor(file) for file in modules()} == set(FLOORS)


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_import_runs_upward(file: Path) -> None:
    for name in imports(file):
        if name.startswith("autogan_ray."):
            other = name.split(".")[1]
            assert FLOORS.index(other) <= FLOORS.index(floor(file)), f"{file.relative_to(PACKAGE)} imports {name}"


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_ray_is_imported_under_tune_alone_and_torch_by_no_value(file: Path) -> None:
    roots = {name.split(".")[0] for name in imports(file)}
    if floor(file) != "tune":
        assert not roots & {"ray", "optuna"}
    if floor(file) in VALUES and file.name != "provenance.py":  # which asks torch for the name of the GPU
        assert not roots & {"torch", "numpy"}


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_functions_stay_short(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None and node.end_lineno - node.lineno < 60, node.name


def seconds(*command: str) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def test_importing_the_package_and_asking_for_help_take_less_than_half_a_second() -> None:
    assert seconds("-c", "import autogan_ray") < 0.5
    for asked in (["run", "--help"], ["--help"]):
        assert seconds("-c", f"from autogan_ray.cli.main import main; main({asked})") < 0.5


def test_importing_the_command_line_brings_neither_torch_nor_ray() -> None:
    code = "import sys; from autogan_ray.cli.main import verbs; verbs()\n"
    code += "print({'torch', 'ray', 'optuna', 'pydantic'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_the_core_works_where_ray_cannot_be_imported() -> None:
    code = (
        "import sys; sys.modules['ray'] = sys.modules['optuna'] = None\n"
        "import autogan_ray as ag, autogan_ray.search.loop\n"
        "ag.build_generator(ag.load_space('adversarialnas').random(8, 0), 4, 8)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
