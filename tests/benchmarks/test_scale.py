"""Stand-ins for trials: what they send, and what is told of their studies."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import scale
from ray import tune

from autogan_ray.results.trial_log import TrialLogs
from autogan_ray.spaces.load import load_space

SPACE = load_space("autogan")


def test_a_stand_in_sends_what_a_trial_would_with_other_scores_and_genotypes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = TrialLogs(tmp_path)
    for number, status in enumerate(("complete", "pruned")):
        logs.add(f"t{number:04d}", "trial", number=number, config={"space": "autogan"})
        for evaluation in (1, 2, 3):
            genotype = SPACE.random(8, evaluation)
            record = {"evaluation": evaluation, "fid": 10.0 * (number + 1), "diverged": False, "kimg": 1.0}
            record |= {"attempt": 2, "decisions": {}}
            record |= {"genotype": genotype.to_dict(), "genotype_id": genotype.genotype_id}
            logs.add(f"t{number:04d}", "evaluation", record=record)
        logs.add(f"t{number:04d}", "status", status=status)
    found = scale.recorded(tmp_path)
    assert [len(records) for records in found["autogan"]] == [3], "a trial that was stopped is no whole curve"
    curves = tmp_path / "curves.json"
    curves.write_text(json.dumps(found))
    sent: list[tuple[dict[str, Any], bool]] = []
    monkeypatch.setattr(tune, "report", lambda metrics, checkpoint=None: sent.append((metrics, checkpoint is not None)))
    inputs = SimpleNamespace(
        spaces={"autogan": SPACE.to_dict()}, measure=SimpleNamespace(data=SimpleNamespace(image_size=8))
    )
    replay = scale.stand_in(curves, b"png")
    for number in (0, 1):
        replay({"number": number, "trial": json.dumps({"space": "autogan"})}, inputs)
    records = [json.loads(metrics["records"])[0] for metrics, _ in sent]
    assert [record["evaluation"] for record in records] == [1, 2, 3] * 2
    assert [saved for _, saved in sent] == [True, False, True] * 2
    assert all(record["fid"] == metrics["fid"] for record, (metrics, _) in zip(records, sent, strict=True))
    one, other = records[0]["fid"], records[3]["fid"]
    assert one != other and records[1]["fid"] == one, "one factor for all scores of a trial"
    assert len({record["genotype_id"] for record in records}) == 6


def test_powers_of_growth_are_those_of_the_figures() -> None:
    first = scale.Cost(100, 400, 10.0, 2.0, 50.0, 0.1, 1.0, 8.0, 5.0)
    second = scale.Cost(1000, 4000, 100.0, 200.0, 50.0, 1.0, 10.0, 80.0, 5.0)
    lines = scale.text([first, second]).splitlines()
    assert lines[1].split() == ["100", "10", "20", "512", "0.1", "81.9", "5"]
    assert lines[3].split() == ["100-1000", "^1.00", "^2.00", "^0.00", "^1.00", "^1.00", "^0.00"]
