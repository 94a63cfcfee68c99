"""What a terminal shows of trials."""

from __future__ import annotations

from autogan_ray.cli.text import trial_table
from autogan_ray.results.trial_log import TrialLog


def test_a_trial_is_called_decided_by_the_evaluation_whose_score_and_genotype_are_shown() -> None:
    def log(*probabilities: float) -> TrialLog:
        found = TrialLog("t0000", {"config": {"space": "autogan"}})
        for evaluation, share in enumerate(probabilities, 1):
            decisions = {f"g.{name}": {"a": [0.0, share], "b": [0.0, 1 - share]} for name in "xyz"}
            record = {"evaluation": evaluation, "attempt": 0, "fid": float(evaluation), "diverged": False}
            found.evaluations[evaluation] = record | {"genotype_id": f"genotype{evaluation}", "decisions": decisions}
        return found

    first, later = trial_table([log(0.5, 1.0)], "FID", 1), trial_table([log(1.0, 0.5)], "FID", 2)
    assert first.splitlines()[-1].split()[-4:] == ["1/2", "1", "genotype1", "UNDECIDED"]
    assert later.splitlines()[-1].split()[-4:] == ["1/2", "2", "genotype1", "decided"]
    assert later.splitlines()[0].split()[-5:] == ["at/of", "at", "2", "genotype", "decisions"]
    assert trial_table([log(1.0)], "FID", 2).splitlines()[-1].split()[-3:] == ["-", "genotype1", "decided"]
    assert trial_table([log()], "FID", 1).splitlines()[-1].split()[-1] == "-"
