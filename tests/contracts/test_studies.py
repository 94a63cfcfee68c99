"""Every shipped study: it parses, its spaces can be built on its data's size, every end of its sweep is legal."""

from __future__ import annotations

from pathlib import Path

import pytest

from autogan_ray.base import catalog
from autogan_ray.base.errors import ConfigError
from autogan_ray.config.study import StudyConfig, differences, dotted_names, load_study_config
from autogan_ray.study.plan import check_networks, check_sizes, make_plan, with_resources

STUDIES = catalog.names("study")
SIZES = {"digits": (8, 1), "cifar10": (32, 3)}


def test_the_studies_that_the_command_line_falls_back_to_are_shipped() -> None:
    assert {"digits", "cifar10", "smoke"} <= set(STUDIES)


@pytest.mark.parametrize("name", STUDIES)
def test_a_shipped_study_survives_json_and_its_networks_can_be_built(name: str, tmp_path: Path) -> None:
    study = load_study_config(name)
    assert study.name == name and study.description
    assert StudyConfig.parse(study.to_dict(), name, ConfigError) == study
    plan = make_plan(with_resources(study, 0, None), tmp_path / name, 0)
    check_sizes(plan, SIZES[study.data.source][0])
    check_networks(plan, *SIZES[study.data.source])
    assert study.tune.grace >= study.tune.max_evaluations / 8


@pytest.mark.parametrize("name", STUDIES)
def test_every_end_of_a_sweep_makes_a_trial(name: str) -> None:
    study = load_study_config(name)
    for key, domain in study.sweep.items():
        for value in domain.ends():
            trial = study.trial({key: value}, seed=1)
            section, _, field = key.rpartition(".")
            assert getattr(getattr(trial, section) if section else trial, field) == value


def test_a_setting_fixed_by_hand_is_no_longer_swept() -> None:
    assert "optim.lr_g" in load_study_config("digits").sweep
    assert "optim.lr_g" not in load_study_config("digits", {"optim.lr_g": 1e-3}).sweep


def test_differences_name_each_setting_once() -> None:
    one, other = load_study_config("smoke"), load_study_config("smoke", {"optim.lr_d": 1e-3, "seed": 4})
    assert differences(one.to_dict(), other.to_dict()) == ["optim.lr_d: 0.0002 -> 0.001", "seed: 0 -> 4"]
    assert differences(one.to_dict(), one.to_dict()) == []


def test_every_setting_says_what_it_means() -> None:
    names = dotted_names(StudyConfig)
    assert len(names) > 60 and {"tune.num_trials", "schema", "space"} <= set(names)
