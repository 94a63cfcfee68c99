"""What all tests of the command line share: a dry run times no search."""

from __future__ import annotations

import pytest

from autogan_ray.search.timing import SearchTimes


@pytest.fixture(autouse=True)
def untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timing takes seconds; ``tests/study/test_cost.py`` and ``tests/search/test_timing.py`` hold it."""
    monkeypatch.setattr("autogan_ray.study.cost._timed", lambda *_: [SearchTimes(0.01, 0.02, 0.5)])
