"""The front of a study of two objectives: shown, on the page, and who is retrained by ``--front``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import autogan_ray as ag
from autogan_ray.cli.main import main
from autogan_ray.results.report.sections import pareto_part
from autogan_ray.retraining.wanted import FRONT, race_candidates, wanted_jobs
from tests.cli.studies import SPACE, add_trial, config_of, finished_study
from tests.results.made_studies import source_of

TWO = ["tune.objectives=fid,macs_g"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study with two trials on the front, the costlier one better, and one more that both beat."""
    folder = tmp_path / "two"
    finished_study(folder, settings=TWO)
    add_trial(folder, SPACE.random(8, 195), fid=95.0, macs_g=3000)
    return folder


def refused(folder: Path, *arguments: str) -> str:
    found: Result = CliRunner().invoke(main, ["retrain", str(folder), *arguments])
    assert found.exit_code == 2, (found.output, found.exception)
    return found.output


def test_show_marks_the_trials_on_the_front(folder: Path) -> None:
    lines = CliRunner().invoke(main, ["show", str(folder)]).output.splitlines()
    title = next(line for line in lines if line.startswith("trial "))
    marks = {line.split()[0]: line[title.index("front") :].split()[0] for line in lines if line.startswith("t000")}
    costs = {line.split()[0]: line[title.index("macs_g") :].split()[0] for line in lines if line.startswith("t000")}
    assert marks == {"t0001": "front", "t0000": "front", "t0002": "-"}
    assert costs == {"t0001": "2,000", "t0000": "1,000", "t0002": "3,000"}
    found = json.loads(CliRunner().invoke(main, ["show", str(folder), "--json"]).output)
    assert {row["trial_id"]: row["on_front"] for row in found} == {"t0000": True, "t0001": True, "t0002": False}


def test_the_page_has_the_study_s_own_objectives_and_the_command_that_retrains_the_front(folder: Path) -> None:
    part = pareto_part(source_of(ag.load_study(folder)))
    assert part is not None and part.numbers["front"] == ["t0001", "t0000"]
    body = "".join(map(str, part.body))
    assert "--front" in body and "on_front" in part.source and "macs_g" in body


def test_the_front_is_retrained_each_with_all_seeds_and_races_if_asked(folder: Path) -> None:
    study, config = ag.load_study(folder), config_of(folder)
    jobs = wanted_jobs(study, trial=FRONT, top=1, genotypes=["random"], seeds=2, config=config)
    assert [(job.trial_id, job.seed) for job in jobs[:4]] == [
        (name, seed) for name in ("t0001", "t0000") for seed in (0, 1)
    ]
    assert [job.source for job in jobs] == ["retrain"] * 4 + ["random"] * 2
    assert {job.chosen_by for job in jobs[:4]} == {"score"}
    raced = race_candidates(study, trial=FRONT, count=5, genotypes=["random"], config=config)
    assert [job.trial_id for job in raced] == ["t0001", "t0000", *[None] * 2]
    add_trial(folder, SPACE.random(8, 199), fid=99.0, macs_g=500)
    raced = race_candidates(ag.load_study(folder), trial=FRONT, count=2, genotypes=(), config=config)
    assert [job.trial_id for job in raced] == ["t0001", "t0000"], "K at most, the better first"


def test_a_front_that_is_not_there_or_clashes_with_another_option_is_refused(folder: Path, tmp_path: Path) -> None:
    assert "--front with --trial best: both say which trials" in refused(folder, "--front", "--trial", "best")
    assert "--top 2 with --front: the front says how many" in refused(folder, "--front", "--top", "2")
    finished_study(tmp_path / "one")
    assert "has one objective, its score, and so no front; take --trial best" in refused(tmp_path / "one", "--front")
    add_trial(folder, SPACE.random(8, 101), fid=1.0, macs_g=1)
    assert "--race 3 with --front: one genotype is on the front" in refused(folder, "--front", "--race", "3")
