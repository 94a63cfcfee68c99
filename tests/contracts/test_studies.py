"""Every shipped study: it parses, its spaces can be built on its data's size, every end of its sweep is legal.

And every search method starts in it, and derives a genotype.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autogan_ray.base import catalog
from autogan_ray.base.errors import ConfigError
from autogan_ray.config.methods import METHODS
from autogan_ray.config.recipe import load_recipe
from autogan_ray.config.search_length import steps_g, total_steps
from autogan_ray.config.study import StudyConfig, differences, dotted_names, load_study_config
from autogan_ray.search.loop import SearchLoop
from autogan_ray.spaces.load import load_space
from autogan_ray.study.plan import check_networks, check_sizes, make_plan, with_resources
from tests.search.toys import evaluator_of, noise_images

STUDIES = catalog.names("study")
SIZES = {"digits": (8, 1), "cifar10": (32, 3)}
"""Side in pixels and channels of the images of a source."""


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


@pytest.mark.parametrize(
    ("message", "sweep"),
    [
        ("latent_dim = 9: space .* cuts z into 2 equal parts at 8 px",
         {"model.latent_dim": {"randint": [8, 16]}, "space": {"choice": ["autogan/fixed", "adversarialnas"]}}),
        ("latent_dim = 9: space .* cuts z into", {"model.latent_dim": {"choice": [8, 9, 16]}}),
        ("search.levels = 5: .* at most 2 levels",
         {"search.method": {"choice": ["reinforce", "random"]},
          "search.levels": {"randint": [1, 5], "when": {"search.method": ["reinforce"]}}}),
        ("remedies.auxiliary_skip = 1.0: no decision of space 'autogan/fixed' has the choice 'skip'",
         {"space": {"choice": ["adversarialnas", "autogan/fixed"]},
          "remedies.auxiliary_skip": {"choice": [0.0, 1.0], "when": {"derive.exclude_none": [True]}},
          "derive.exclude_none": {"choice": [True, False], "when": {"search.method": ["adversarial"]}},
          "search.method": {"choice": ["adversarial"]}}),
    ],
)  # fmt: skip
def test_what_a_sweep_proposes_must_fit_its_spaces(message: str, sweep: dict[str, Any], tmp_path: Path) -> None:
    changes = {"search.relaxation": "softmax", "search.controller_phases": 5, "space": "adversarialnas"}
    if "search.method" in sweep:
        changes["search.relaxation"] = "own"
    study = load_study_config("smoke", changes | {f"sweep.{key}": domain for key, domain in sweep.items()})
    with pytest.raises(ConfigError, match=message):
        check_sizes(make_plan(study, tmp_path, 0), 8)


def test_a_space_that_is_swept_under_a_condition_leaves_the_studys_own_possible(tmp_path: Path) -> None:
    study = load_study_config(
        "smoke",
        {
            "sweep.derive.exclude_none": {"choice": [True, False]},
            "sweep.space": {"choice": ["adversarialnas"], "when": {"derive.exclude_none": [True]}},
        },
    )
    assert set(make_plan(study, tmp_path, 0).spaces) == {"adversarialnas", "autogan/fixed"}


@pytest.mark.parametrize("name", STUDIES)
def test_every_end_of_a_sweep_makes_a_trial(name: str) -> None:
    study = load_study_config(name)
    for key, domain in study.sweep.items():
        for value in domain.ends():
            trial = study.trial({key: value}, seed=1)
            section, _, field = key.rpartition(".")
            assert getattr(getattr(trial, section) if section else trial, field) == value


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", STUDIES)
def test_every_method_starts_in_every_shipped_study_and_has_a_genotype(name: str, method: str) -> None:
    tiny = {"model.channels_g": 3, "model.channels_d": 3, "model.latent_dim": 12, "search.batch_size": 4}
    tiny |= {"search.batch_size_g": 4, "search.kimg": 0.4, "search.levels": 1, "search.controller_phases": 1}
    own = {"search.method": method, "search.relaxation": "own", "search.logits_as_probabilities": False}
    study, data = load_study_config(name, own | tiny), noise_images()
    for space in study.possible("space"):
        trial, evaluations = study.trial({"space": space}, seed=0), study.tune.max_evaluations
        loop = SearchLoop(trial, load_space(space), data, evaluator_of(data), evaluations=evaluations)
        loop.step()
        record = loop.evaluate()
        assert record.fid is not None
        loop.space.check(record.genotype)


def test_the_published_search_takes_the_published_numbers_of_steps_and_images() -> None:
    study = load_study_config("adversarialnas")
    total = total_steps(study.search, study.tune.max_evaluations)
    assert total == 24 * 417 and steps_g(study.search, total) == 24 * 417 // 5
    assert (study.search.batch_size, study.search.latents_g) == (60, 120)
    assert not study.sweep and study.retrain == load_recipe("adversarialnas").retrain


def test_a_setting_fixed_by_hand_is_no_longer_swept() -> None:
    assert "optim.lr_g" in load_study_config("digits").sweep
    assert "optim.lr_g" not in load_study_config("digits", {"optim.lr_g": 1e-3}).sweep


@pytest.mark.parametrize("name", ["adversarialnas", "smoke"])  # one without and one with a sweep of its own
def test_of_a_value_and_a_sweep_of_one_setting_the_later_holds(name: str) -> None:
    domain = {"loguniform": [1e-4, 1e-3]}
    for whole in ({"sweep.optim.lr_g": domain}, {"sweep": {"optim.lr_g": domain}}):
        fixed = load_study_config(name, {**whole, "optim.lr_g": 0.0003})
        assert not fixed.sweep and fixed.optim.lr_g == 0.0003
        assert "optim.lr_g" in load_study_config(name, {"optim.lr_g": 0.0003, **whole}).sweep


def test_a_grace_above_the_evaluations_is_refused_with_asha_and_idle_without() -> None:
    short = {"tune.max_evaluations": 1, "tune.grace_evaluations": 2}
    with pytest.raises(ConfigError, match=r"grace_evaluations = 2 is above tune\.max_evaluations = 1.* or set tune"):
        load_study_config("smoke", short)
    assert load_study_config("smoke", short | {"tune.scheduler": "none"}).tune.grace == 1


def test_differences_name_each_setting_once() -> None:
    one, other = load_study_config("smoke"), load_study_config("smoke", {"optim.lr_d": 1e-3, "seed": 4})
    assert differences(one.to_dict(), other.to_dict()) == ["optim.lr_d: 0.0002 -> 0.001", "seed: 0 -> 4"]
    assert differences(one.to_dict(), one.to_dict()) == []


def test_every_setting_says_what_it_means() -> None:
    names = dotted_names(StudyConfig)
    assert len(names) > 60 and {"tune.num_trials", "schema", "space"} <= set(names)
