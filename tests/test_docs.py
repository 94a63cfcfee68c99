"""Pages that are made from the code are not behind it, and the code in them runs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.results.made_studies import made_study

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_of_tables_and_settings_are_what_the_code_makes(reference: ModuleType) -> None:
    assert (DOCS / "tables.md").read_text() == reference.tables_page(), "run python docs/reference.py"
    assert (DOCS / "settings.md").read_text() == reference.settings_page(), "run python docs/reference.py"


def test_every_setting_and_every_section_is_explained(reference: ModuleType) -> None:
    rows = [line for line in reference.settings_page().splitlines() if line.startswith("| `")]
    assert len(rows) > 100 and not [row for row in rows if row.endswith("|  |")]


@pytest.mark.timeout(120)
def test_the_analysis_of_the_docs_runs(tmp_path: Path) -> None:
    made_study(tmp_path / "made", trials=12)
    call = [sys.executable, str(DOCS / "analysis.py"), "made"]
    found = subprocess.run(call, capture_output=True, text=True, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "tau" in found.stdout and "against" in found.stdout and (tmp_path / "history.svg").is_file()


def test_the_commands_of_the_docs_name_verbs_that_there_are() -> None:
    from autogan_ray.cli.main import verbs

    pages = [*DOCS.glob("*.md"), DOCS.parent / "README.md"]
    called = {
        (page.name, line.split("autogan-ray ", 1)[1].split()[0])
        for page in pages
        for line in page.read_text().splitlines()
        if line.startswith("    autogan-ray ")
    }
    assert len(called) > 10 and not {(page, verb) for page, verb in called if verb not in verbs()}
