"""Imports run one way: values know nothing, networks know values, loops networks and metrics, Ray the loops."""

from __future__ import annotations

import ast
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from architecture import (
    FLOORS,
    PACKAGE,
    circles,
    import_graph,
    imported_names,
    root_entries,
    source_files,
    upward_imports,
)

VALUES = FLOORS[:3]
"""What may know neither torch nor numpy."""
PARAMETERS = [file for file in source_files() if file.parent != PACKAGE]


def floor(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0]


def test_the_root_of_the_package_can_be_seen_at_a_glance() -> None:
    assert len(root_entries()) <= 14, root_entries()


def test_every_folder_of_the_package_has_its_floor() -> None:
    assert {floor(file) for file in PARAMETERS} == set(FLOORS)


def test_no_import_runs_upward() -> None:
    assert upward_imports(import_graph()) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles(import_graph()) == []


def test_a_circle_and_an_upward_import_would_be_seen() -> None:
    graph = {
        "base.errors": frozenset({"cli.main"}),
        "cli.main": frozenset({"cli.run"}),
        "cli.run": frozenset({"base.errors"}),
        "nets.gan": frozenset({"base.errors"}),
    }
    assert circles(graph) == [["base.errors", "cli.main", "cli.run"]]
    assert upward_imports(graph) == [("base.errors", "cli.main")]


@pytest.mark.parametrize("file", PARAMETERS, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_ray_is_imported_under_tune_alone_and_torch_by_no_value(file: Path) -> None:
    roots = {name.split(".")[0] for name in imported_names(file)}
    if floor(file) != "tune":
        assert not roots & {"ray", "optuna"}
    if floor(file) in VALUES and file.name != "provenance.py":  # which asks torch for the name of the GPU
        assert not roots & {"torch", "numpy"}


@pytest.mark.parametrize("file", PARAMETERS, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_functions_stay_short(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None and node.end_lineno - node.lineno < 60, node.name


def seconds(*command: str) -> float:
    """Processor seconds of a command, median of five: what it costs, whatever else the machine is doing."""
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
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
