"""Counts what the layout of the package promises: ``docs/architecture.md`` shows these figures, a test holds them.

    $ python benchmarks/architecture.py

* entries at the root of the package;
* circles of the import graph, imports under ``TYPE_CHECKING`` and inside functions included;
* imports that run upward, from a folder to a later one of :data:`FLOORS`;
* files of which a function runs in one step of a search, plain and fast;
* files of the package, and their lines.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

PACKAGE = Path(__file__).resolve().parent.parent / "autogan_ray"
FLOORS = (
    *("base", "spaces", "config", "nets", "training", "metrics"),
    *("search", "results", "study", "retraining", "tune", "cli"),
)
"""The folders of the package: each may import from itself and from those before it."""

Graph = Mapping[str, frozenset[str]]
"""Module -> the modules of the package that it imports, by dotted names without the package's own."""


def root_entries() -> list[str]:
    """Returns the names of the files and folders at the root of the package."""
    return sorted(entry.name for entry in PACKAGE.iterdir() if entry.name != "__pycache__")


def source_files() -> list[Path]:
    """Returns all Python files of the package, sorted."""
    return sorted(PACKAGE.rglob("*.py"))


def module_name(file: Path) -> str:
    """Returns the dotted name of a file, ``nets.gan``; that of a folder for its ``__init__.py``; "" for the root's."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(file: Path) -> Iterator[str]:
    """Yields the dotted names of everything that a file imports anywhere, ``a.b`` for ``from a import b`` too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def import_graph() -> Graph:
    """Returns the import graph of the package; its own ``__init__.py`` and ``__main__.py`` are left out."""
    files = {module_name(file): file for file in source_files() if file.parent != PACKAGE}
    return {
        name: frozenset(
            other
            for other in (wanted.removeprefix("autogan_ray.") for wanted in imported_names(file))
            if other in files and other != name and files[other].name != "__init__.py"
        )
        for name, file in files.items()
    }


def circles(graph: Graph) -> list[list[str]]:
    """Returns the modules of each circle of imports (strongly connected components of more than one, Tarjan 1972)."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = lowest[module] = len(index)
        stack.append(module)
        for other in sorted(graph[module]):
            if other not in index:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in stack:
                lowest[module] = min(lowest[module], index[other])
        if lowest[module] == index[module]:
            start = stack.index(module)
            components.append(sorted(stack[start:]))
            del stack[start:]

    for module in sorted(graph):
        if module not in index:
            visit(module)
    return [component for component in components if len(component) > 1]


def upward_imports(graph: Graph) -> list[tuple[str, str]]:
    """Returns (module, imported module) of every import from a folder to one that stands later in :data:`FLOORS`."""
    return [
        (module, other)
        for module, imported in sorted(graph.items())
        for other in sorted(imported)
        if FLOORS.index(other.split(".")[0]) > FLOORS.index(module.split(".")[0])
    ]


def files_of_a_step(merge: bool) -> list[str]:
    """The files of the package of which a function runs in one iteration of a ``gumbel`` search, relative to it.

    The iteration updates the logits and the weights of D and of G. It is a second one, so that nothing counts that only
    the first has to do.

    Args:
        merge: whether the networks are computed in the fast form, or in the plain form.
    """
    import torch
    from _setups import setup
    from _sides import product

    side = product(setup("tiny", relaxation="gumbel", settings={"compute.merge": merge}), torch.device("cpu"))
    side.search()
    files: set[Path] = set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            files.add(Path(frame.f_code.co_filename))

    sys.setprofile(note)
    try:
        side.search()
    finally:
        sys.setprofile(None)
    return sorted(file.relative_to(PACKAGE).as_posix() for file in files if file.is_relative_to(PACKAGE))


def main() -> None:
    graph = import_graph()
    files = source_files()
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
    print(f"entries at the root       {len(root_entries())}")
    print(f"circles of imports        {len(circles(graph))}")
    print(f"imports that run upward   {len(upward_imports(graph))}")
    print(f"files of a plain step     {len(files_of_a_step(merge=False))}")
    print(f"files of a fast step      {len(files_of_a_step(merge=True))}")
    print(f"files, lines              {len(files)}, {lines}")


if __name__ == "__main__":
    main()
