"""Which networks a call of ``retrain`` asks for, in a study whose trials are not all alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import autogan_ray as ag
from autogan_ray.base.errors import ConfigError
from autogan_ray.cli.retrain_text import cost_before
from autogan_ray.results.tables import write_tables
from autogan_ray.results.trial_log import TrialLogs
from autogan_ray.retraining.job import Job
from autogan_ray.retraining.race import expected_trainings
from autogan_ray.retraining.wanted import race_candidates, wanted_jobs
from autogan_ray.study.study_file import read_about, write_about
from tests.cli.studies import SPACE, add_trial, config_of, finished_study


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study with two trials, of FD 90 and 89."""
    finished_study(tmp_path / "smoke")
    return tmp_path / "smoke"


def jobs_of(folder: Path, trial: str | None = "best", **asked: Any) -> list[Job]:
    asked = {"top": 1, "genotypes": (), "seeds": 1} | asked
    return wanted_jobs(ag.load_study(folder), trial=trial, config=config_of(folder), **asked)


def raced(folder: Path, trial: str | None = "best", count: int = 8, genotypes: tuple[str, ...] = ()) -> list[Job]:
    study = ag.load_study(folder)
    return race_candidates(study, trial=trial, count=count, genotypes=genotypes, config=config_of(folder))


def test_of_two_trials_with_the_same_genotype_the_better_one_is_retrained(folder: Path) -> None:
    best = ag.load_study(folder).best
    assert best["trial_id"] == "t0001"
    add_trial(folder, SPACE.random(8, 1), fid=95.0)
    jobs = jobs_of(folder, top=3)
    assert [job.trial_id for job in jobs] == ["t0001", "t0000"]
    assert jobs[0].genotype.genotype_id == best["genotype_id"]
    assert [job.trial_id for job in raced(folder, count=3)] == ["t0001", "t0000"]


def test_trials_of_several_widths_are_retrained_each_with_its_own_by_one_recipe(folder: Path) -> None:
    own = config_of(folder).model.model_dump()
    add_trial(folder, SPACE.random(8, 1), {"model": own | {"channels_g": 2 * own["channels_g"]}}, fid=95.0)
    jobs = jobs_of(folder, top=3)
    assert {job.recipe for job in jobs} == {jobs[0].recipe} and len({job.evaluation_id for job in jobs}) == 3
    assert [job.model["channels_g"] / own["channels_g"] for job in jobs] == [1, 1, 2]


def test_a_trials_own_space_makes_its_network_where_two_spaces_have_one_name(folder: Path) -> None:
    about, other = read_about(folder), SPACE.to_dict() | {"description": "another"}
    write_about(folder, about | {"spaces": {**about["spaces"], "./fixed.toml": other}})
    add_trial(folder, SPACE.random(8, 7), {"space": "./fixed.toml"}, fid=1.0)
    jobs = jobs_of(folder, top=3)
    assert [job.space.description for job in jobs] == ["another", SPACE.description, SPACE.description]


def test_as_many_random_genotypes_are_raced_as_trials_have_found(folder: Path) -> None:
    groups = [job.group for job in raced(folder, genotypes=("random",))]
    assert groups == ["searched"] * 2 + ["random"] * 2
    assert [job.group for job in raced(folder, genotypes=("random:5",))].count("random") == 5
    assert [job.group for job in raced(folder, None, 3, ("random",))] == ["random"] * 3


def test_what_is_no_race_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--race 8: nothing is raced, as named networks take no part .*random"):
        raced(folder, None, genotypes=("autogan-a",))
    about, logs = read_about(folder), TrialLogs(folder)
    (folder / "trials" / "t0001.jsonl").unlink()
    write_tables(folder, about, TrialLogs(folder))
    assert len(logs) == 2
    with pytest.raises(ConfigError, match="one genotype was searched and scored, which is no race"):
        raced(folder)


def test_a_file_called_random_is_not_taken_for_random_genotypes(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "random.json"
    file.write_text(SPACE.random(8, 77).to_json())
    (job,) = jobs_of(folder, None, genotypes=[str(file)])
    assert (job.source, job.name) == ("user", "random.json")


def test_random_candidates_cost_what_the_search_does_by_images_and_by_time(folder: Path) -> None:
    add_trial(folder, SPACE.random(8, 5), fid=50.0, kimg=20.0)
    study, config = ag.load_study(folder), config_of(folder)
    jobs = raced(folder, count=3, genotypes=("random",))
    lines = cost_before(study, config, jobs, 3).splitlines()
    assert lines[0].startswith("race of 3 searched candidates: about ") and "shown 20.4 kimg in 0:03" in lines[2]
    count = int(lines[3].partition("random:")[2].partition(")")[0])
    whole = 20.4 / config.retrain.kimg + expected_trainings(config, 3)
    assert expected_trainings(config, count) >= whole > expected_trainings(config, count - 1)
    assert lines[3].endswith("the next call says")


def test_a_search_that_costs_more_than_any_race_is_said_so(folder: Path) -> None:
    add_trial(folder, SPACE.random(8, 5), fid=50.0, kimg=1e9)
    text = cost_before(ag.load_study(folder), config_of(folder), raced(folder, count=3), 3)
    assert "in images over 9,999 random candidates can be raced" in text


def test_a_race_that_is_judged_by_another_rule_is_refused(folder: Path) -> None:
    from click.testing import CliRunner

    from autogan_ray.cli.main import main

    job = raced(folder)[0]
    logs = TrialLogs(folder / "retrain", "retrain-.+")
    config = {"race": config_of(folder).race.model_dump(), "row": {"recipe": job.recipe, "stage": "race"}}
    logs.add(job.evaluation_id, "trial", config=config)
    asked = ["retrain", str(folder), "--race", "8", "--resume", "--set", "race.reduction_factor=2"]
    found = CliRunner().invoke(main, asked)
    assert found.exit_code == 2 and "race.reduction_factor = 2" in found.output, (found.output, json.dumps(config))
    assert "was raced with 3" in found.output and "race in another length (--kimg)" in found.output
