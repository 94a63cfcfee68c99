"""What a study may ask of a method: mistakes are named with their rule, sweeps are guarded, defaults are resolved."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.methods import METHODS, READ_BY
from autogan_ray.config.overrides import parse_override
from autogan_ray.config.study import StudyConfig, load_study_config, sweepable
from autogan_ray.study.plan import check_sizes, make_plan


def study(name: str = "digits", **changes: Any) -> StudyConfig:
    return load_study_config(name, {key.replace("__", "."): value for key, value in changes.items()})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["digits", "cifar10"])
def test_every_method_runs_on_the_shipped_studies_by_naming_it(name: str, method: str) -> None:
    found = study(name, search__method=method)
    relaxes = METHODS[method].relaxation is not None
    for key in ("search.relaxation", "search.temperature_start", "optim.lr_arch_g"):
        assert (key in found.live_sweep) == relaxes
    trial = found.trial({}, seed=0)
    assert trial.search.relaxation == ("gumbel" if relaxes else None)
    assert StudyConfig.parse(found.to_dict(), name, ConfigError) == found


def test_a_relaxation_is_the_methods_own_until_one_is_named() -> None:
    assert study("cifar10").search.relaxation is None
    assert study("cifar10").search.relaxation_in_force == "gumbel"
    assert study("smoke").search.relaxation_in_force == "gumbel_hard"
    own = study("smoke", search__relaxation=parse_override("search.relaxation=own")[1], search__method="random")
    assert own.search.relaxation_in_force is None


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        ("search.method = 'adversarail': no such name; did you mean 'adversarial'",
         {"search__method": "adversarail"}),
        ("search.relaxation = 'gumbel' with search.method = 'reinforce': .* runs one path at a time",
         {"search__relaxation": "gumbel", "search__method": "reinforce"}),
        ("search.relaxation = 'softmax' with search.method = 'random'.*--set search.relaxation=own",
         {"search__relaxation": "softmax", "search__method": "random"}),
        ("search.unrolled = true with search.method = 'duality_gap': that method does not read it",
         {"search__unrolled": True, "search__method": "duality_gap"}),
        ("search.logits_as_probabilities = true with search.method = 'random'",
         {"search__logits_as_probabilities": True, "search__method": "random"}),
        ("search.warmup = 0.999 leaves none of the search's steps of G to search.method = 'adversarial'",
         {"search__warmup": 0.999}),
        ("search.controller_phases = 500, but a search has 162 steps of G after its warm-up",
         {"search__controller_phases": 500, "search__method": "reinforce"}),
        ("search.levels = 3 is more than search.controller_phases = 2",
         {"search__controller_phases": 2, "search__levels": 3, "search__method": "reinforce"}),
        ("search.controller_steps = 1: ", {"search__controller_steps": 1}),
        ("search.gap_inner_steps = 0: ", {"search__gap_inner_steps": 0}),
        ("search.reward = 'kid': ", {"search__reward": "kid"}),
        ("derive.max_params_g = 9999 with search.method = 'random': that method picks its genotype itself .*"
         "leave it out, or take 'adversarial' or 'duality_gap'",
         {"derive__max_params_g": 9999, "search__method": "random"}),
        ("derive.max_skips_per_cell_d = 0 with search.method = 'reinforce'",
         {"derive__max_skips_per_cell_d": 0, "search__method": "reinforce"}),
        # Sweeps.
        ("sweep: derive.max_macs_d = 9999 with search.method = 'random'.*"
         'or sweep derive.max_macs_d with when = { "search.method" = \\["adversarial", "duality_gap"\\] }',
         {"sweep.search.method": {"choice": ["adversarial", "random"]}, "derive__max_macs_d": 9999}),
        ("sweep: search.relaxation = 'gumbel_hard' with search.method = 'random'.*"
         'or sweep search.relaxation with when = { "search.method" = \\["adversarial", "duality_gap"\\] }',
         {"sweep.search.method": {"choice": ["adversarial", "random"]},
          "sweep.search.relaxation": {"choice": ["gumbel_hard", "softmax"]}}),
        ("sweep: search.relaxation = 'softmax' with search.method = 'reinforce'",
         {"sweep.search.method": {"choice": ["adversarial", "reinforce"]}, "search__relaxation": "softmax"}),
        ("sweep: search.unrolled = true with search.method = 'random'",
         {"sweep.search.method": {"choice": ["adversarial", "random"]},
          "sweep.search.unrolled": {"choice": [True, False]}}),
        ("sweep.search.gap_inner_steps: it plays no part in search.method = 'adversarial', only in 'duality_gap'",
         {"sweep.search.gap_inner_steps": {"randint": [1, 5]}}),
        ("sweep.search.warmup: it plays no part in search.method = 'random'",
         {"search__method": "random", "sweep.search.warmup": {"uniform": [0.0, 0.2]}}),
        ("search.warmup = 0.999 leaves none.* search.method = 'duality_gap'",
         {"sweep.search.method": {"choice": ["random", "duality_gap"]}, "search__warmup": 0.999}),
        ("when names 'search.metod', which no trial has; did you mean 'search.method'",
         {"sweep.optim.lr_g": {"uniform": [0.1, 0.2], "when": {"search.metod": ["random"]}}}),
        ("when search.method = 'randm'",
         {"sweep.optim.lr_g": {"uniform": [0.1, 0.2], "when": {"search.method": ["randm"]}}}),
    ],
)  # fmt: skip
def test_what_makes_no_sense_beside_a_method_is_refused(message: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=message):
        study(**changes)


def test_a_guarded_sweep_over_methods_proposes_only_trials_that_can_run() -> None:
    found = study(
        **{
            "sweep.search.method": {"choice": list(METHODS)},
            "sweep.search.unrolled": {"choice": [True, False], "when": {"search.method": ["adversarial"]}},
        }
    )
    assert found.trial({"search.method": "random"}, 0).search.relaxation is None
    assert found.trial({"search.method": "adversarial", "search.relaxation": "softmax"}, 0).search.relaxation
    with pytest.raises(ConfigError, match=r"search\.relaxation = 'softmax' with search\.method = 'random'"):
        found.trial({"search.method": "random", "search.relaxation": "softmax"}, 0)


def test_a_condition_on_a_fixed_setting_is_decided_by_it() -> None:
    assert "search.temperature_start" in study(search__relaxation="gumbel_hard").live_sweep
    assert study(search__relaxation="gumbel_hard").live_sweep["search.temperature_start"].when == {}
    assert "search.temperature_start" not in study(search__relaxation="softmax").live_sweep
    swept = study().live_sweep["search.temperature_start"]
    assert swept.when == {"search.relaxation": ("gumbel_hard",)}


def test_a_sweep_over_methods_drops_what_none_of_them_reads() -> None:
    found = study(**{"sweep.search.method": {"choice": ["reinforce", "random"]}})
    assert not set(found.live_sweep) & {"search.relaxation", "search.temperature_start", "optim.lr_arch_g"}


def test_every_setting_that_only_some_methods_read_exists() -> None:
    assert set(READ_BY) <= set(sweepable())


def test_more_levels_than_the_generator_has_cells_are_refused_before_a_trial_starts(tmp_path: Any) -> None:
    found = study(search__method="reinforce", search__levels=3)
    with pytest.raises(ConfigError, match=r"search.levels = 3: .* at most 2 levels"):
        check_sizes(make_plan(found, tmp_path, 0), 8)


def test_the_example_of_a_sweep_in_the_documentation_is_legal() -> None:
    text = (Path(__file__).parents[2] / "docs" / "methods.md").read_text()
    example = tomllib.loads(text.split("```toml\n")[1].split("```")[0])
    live = study(**{f"sweep.{key}": domain for key, domain in example["sweep"].items()}).live_sweep
    assert set(example["sweep"]) <= set(live)
