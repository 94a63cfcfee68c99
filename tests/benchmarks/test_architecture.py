"""The figures about the architecture are counted from what runs."""

from __future__ import annotations

import re
from pathlib import Path

import architecture
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"


@pytest.mark.timeout(60)
def test_a_step_in_the_plain_form_runs_through_few_files_and_none_of_the_fast_form() -> None:
    plain, fast = (architecture.files_of_a_step(merge) for merge in (False, True))
    assert {"search/loop.py", "training/steps.py", "nets/relaxation.py"} <= set(plain) < set(fast)
    nets = [file for file in plain if file.startswith("nets/")]
    assert {"nets/gan.py", "nets/dag_cell.py", "nets/mixed_op.py"} <= set(nets) and len(nets) <= 6
    added = set(fast) - set(plain)
    assert all(file.startswith("nets/fast/") for file in added) and 1 <= len(added) <= 7


@pytest.mark.timeout(60)
def test_the_page_on_the_architecture_shows_what_is_counted() -> None:
    graph = architecture.import_graph()
    plain, fast = (len(architecture.files_of_a_step(merge)) for merge in (False, True))
    assert plain <= 16 and fast <= 25
    circles, upward = architecture.circles(graph), architecture.upward_imports(graph)
    counted = [len(architecture.root_entries()), len(circles), len(upward), plain, fast]
    table = PAGE.read_text(encoding="utf-8").partition("benchmarks/architecture.py` | |")[2].partition("\n## ")[0]
    assert [int(figure) for figure in re.findall(r"\| (\d+) \|$", table, re.MULTILINE)] == counted
