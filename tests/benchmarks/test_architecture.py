"""The figures about the architecture are counted from what runs."""

from __future__ import annotations

import architecture
import pytest


@pytest.mark.timeout(60)
def test_a_step_in_the_plain_form_runs_through_few_files_and_none_of_the_fast_form() -> None:
    plain, fast = (architecture.files_of_a_step(merge) for merge in (False, True))
    assert {"search/loop.py", "training/steps.py", "nets/relaxation.py"} <= set(plain) < set(fast)
    nets = [file for file in plain if file.startswith("nets/")]
    assert {"nets/gan.py", "nets/dag_cell.py", "nets/mixed_op.py"} <= set(nets) and len(nets) <= 6
    added = set(fast) - set(plain)
    assert all(file.startswith("nets/fast/") for file in added) and 1 <= len(added) <= 7
