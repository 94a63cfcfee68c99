"""Imports run one way: values know nothing, nets know values, loops nets and metrics, Ray the loops."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "autogan_ray"
VALUES = [
    *("errors", "value", "operations", "parts", "blocks", "sizes", "connectivity", "space", "genotype", "catalog"),
    *("published", "method_rules", "sections", "sweep", "config", "recipe", "remedies"),
    *("folders", "corners", "derive_section", "frontier", "cell_labels", "derivation", "perturbation", "processes"),
]
# May import from itself and from what stands before it.
LAYERS = ["values", "nets", "training", "metrics", "search", "results", "retrain", "tune", "console"]
PLACES = {
    **dict.fromkeys(VALUES, "values"),
    **{name: name for name in ("nets", "training", "metrics", "search", "results", "tune")},
    **dict.fromkeys(("export", "plan", "about", "provenance", "limits"), "results"),
    **dict.fromkeys(("retrain", "retraining", "sampling"), "retrain"),
    **dict.fromkeys(("console", "running", "commands", "reporting", "listing", "cli", "__main__"), "console"),
}


def modules() -> list[Path]:
    return [file for file in sorted(PACKAGE.rglob("*.py")) if file != PACKAGE / "__init__.py"]


def place(dotted: str) -> str:
    return PLACES[dotted.split(".")[1]]


def imports(file: Path, at_top: bool = False) -> list[str]:
    tree = ast.parse(file.read_text())
    nodes = tree.body if at_top else list(ast.walk(tree))
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return found


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_module_imports_only_what_stands_before_it(file: Path) -> None:
    own = place("autogan_ray." + str(file.relative_to(PACKAGE)).removesuffix(".py").replace("/", "."))
    for name in imports(file):
        if name.startswith("autogan_ray."):
            assert LAYERS.index(place(name)) <= LAYERS.index(own), f"{file.name} ({own}) imports {name}"


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_ray_is_imported_under_tune_alone_and_torch_by_no_value(file: Path) -> None:
    roots = {name.split(".")[0] for name in imports(file)}
    if file.parent.name != "tune":
        assert not roots & {"ray", "optuna"}
    if file.stem in VALUES:
        assert "torch" not in roots and "numpy" not in roots


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_files_and_functions_stay_short(file: Path) -> None:
    text = file.read_text()
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
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
    assert seconds("-c", "from autogan_ray.cli import main; main(['run', '--help'])") < 0.5


def test_importing_the_command_line_brings_neither_torch_nor_ray() -> None:
    code = "import sys, autogan_ray.cli; print([name for name in ('torch', 'ray', 'optuna') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_the_core_works_where_ray_cannot_be_imported() -> None:
    code = (
        "import sys; sys.modules['ray'] = sys.modules['optuna'] = None\n"
        "import autogan_ray as ag, autogan_ray.search.loop\n"
        "ag.build_generator(ag.load_space('adversarialnas').random(8, 0), 4, 8)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
