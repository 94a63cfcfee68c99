"""What a terminal shows of trials."""

from __future__ import annotations

from pathlib import Path

from autogan_ray.cli.text import trial_table
from autogan_ray.results.study_tables import read_table
from autogan_ray.results.tables import write_tables
from autogan_ray.results.trial_log import TrialLogs
from tests.results.test_tables import ABOUT, tell


def test_a_trial_is_called_decided_by_the_evaluation_whose_score_and_genotype_are_shown(tmp_path: Path) -> None:
    def shown(*shares: float, grace: int = 1) -> list[list[str]]:
        folder = tmp_path / f"{shares} {grace}"
        logs = TrialLogs(folder)
        for evaluation, share in enumerate(shares, 1):
            tell(logs, 0, evaluation, float(evaluation))
            decisions = {f"g.cell1.{name}": {"a": [0.0, share], "b": [0.0, 1 - share]} for name in "xyz"}
            record = logs.get("t0000").evaluations[evaluation] | {"decisions": decisions}
            record["genotype"] |= {"generator": dict.fromkeys(decisions, "a")}
            logs.add("t0000", "evaluation", record=record)
        if not shares:
            logs.add("t0000", "trial", number=0, config={})
        write_tables(folder, ABOUT | {"grace_evaluations": grace}, logs)
        return [line.split() for line in trial_table(read_table(folder, "trials"), "FID", grace).splitlines()]

    first = shown(0.5, 1.0)[-1]
    assert first[-4:-2] == ["1/2", "1"] and first[-1] == "UNDECIDED"
    later = shown(1.0, 0.5, grace=2)
    assert later[-1][-3] == "2" and later[-1][-1] == "decided"
    assert later[0][-5:] == ["at/of", "at", "2", "genotype", "decisions"]
    assert shown(1.0, grace=2)[-1][-3] == "-" and shown(1.0, grace=2)[-1][-1] == "decided"
    assert shown()[-1][-1] == "-"
