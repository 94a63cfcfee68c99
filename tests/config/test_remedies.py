"""The section [remedies]: off by default, swept and stored like any setting, every mistake refused with its cure."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from autogan_ray.base.errors import ConfigError
from autogan_ray.cli.main import main
from autogan_ray.config.remedies import check_space
from autogan_ray.config.sections import RemediesConfig
from autogan_ray.config.study import TrialConfig, load_study_config, sweepable
from autogan_ray.spaces.space import load_space

MIXTURE = "search.relaxation=softmax"
SWEPT = "sweep.search.relaxation={choice=['softmax','gumbel_hard']}"


def test_all_are_off_by_default_and_stored_with_the_trial() -> None:
    assert not RemediesConfig().on
    study = load_study_config("smoke", {"remedies.shrink_at": [0.5, 0.75], "remedies.cost_weight_g": 0.1})
    trial = study.trial({"remedies.zero_one_weight": 0.25}, seed=3)
    assert trial.remedies == RemediesConfig(shrink_at=(0.5, 0.75), cost_weight_g=0.1, zero_one_weight=0.25)
    assert TrialConfig.parse(trial.model_dump(mode="json"), "tables", ConfigError) == trial
    assert {"remedies.cost", "remedies.auxiliary_skip", "remedies.entropy_weight"} <= set(sweepable())


@pytest.mark.parametrize(
    ("message", "settings"),
    [
        ("remedies.auxiliary_skip = -1: input should be greater", ["remedies.auxiliary_skip=-1"]),
        ("remedies.entropy_weight = -0.1", ["remedies.entropy_weight=-0.1"]),
        ("remedies.cost_weight_g = -2", ["remedies.cost_weight_g=-2"]),
        ("remedies.cost = 'flops'", ["remedies.cost=flops"]),
        ("remedies.shrink_at.0 = 0.0: input should be greater than 0", ["remedies.shrink_at=[0.0]"]),
        ("remedies.shrink_at.1 = 1.0: input should be less than 1", ["remedies.shrink_at=[0.5,1.0]"]),
        ("does not increase; did you mean [0.4, 0.5]?", ["remedies.shrink_at=[0.5,0.4]"]),
        ("does not increase; did you mean [0.5]?", ["remedies.shrink_at=[0.5,0.5]"]),
        ("begins within search.warmup = 0.1", ["remedies.shrink_at=[0.1]"]),
        ("more than 3 choices, so it can lose 2 at most; leave out 1", ["remedies.shrink_at=[0.2,0.3,0.4]"]),
        (
            "entropy_weight = 0.1 and zero_one_weight = 1.0 exclude each other",
            ["remedies.entropy_weight=0.1", "remedies.zero_one_weight=1"],
        ),
        ("with search.relaxation = 'gumbel_hard': one path", ["remedies.auxiliary_skip=1"]),
        ("no decision of space 'autogan/fixed' has the choice 'skip'", ["remedies.auxiliary_skip=1", MIXTURE]),
        ("leaves nothing to decide in D, so its cost is fixed", ["remedies.cost_weight_d=1"]),
        ("with search.search_d = false", ["remedies.cost_weight_d=1", "search.search_d=false"]),
        ("did you mean 'remedies.entropy_weight'", ["remedies.entropi=1"]),
        ("sweep.remedies.cost_weight_g = -1.0", ["sweep.remedies.cost_weight_g={uniform=[-1,1]}"]),
        (
            "sweep: remedies.auxiliary_skip = 1.0 with search.relaxation = 'gumbel_hard'",
            [MIXTURE, "space=adversarialnas", "sweep.remedies.auxiliary_skip={uniform=[0.0,1.0]}", SWEPT],
        ),
    ],
)
def test_a_mistake_is_refused_before_anything_starts(message: str, settings: list[str], tmp_path: Path) -> None:
    arguments = [argument for setting in settings for argument in ("--set", setting)]
    found = CliRunner().invoke(main, ["run", "smoke", "--out", str(tmp_path / "results"), "--dry-run", *arguments])
    assert found.exit_code == 2, found.output
    assert message in found.output.replace("\n", " "), found.output
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_under_conditions_is_taken_where_no_trial_can_be_wrong() -> None:
    wanted = {"search.relaxation": ["softmax", "gumbel"]}
    load_study_config(
        "smoke",
        {
            "space": "adversarialnas",
            "sweep.search.relaxation": {"choice": ["softmax", "gumbel", "gumbel_hard"]},
            "sweep.remedies.auxiliary_skip": {"uniform": [0.0, 1.0], "when": wanted},
        },
    )


def test_a_space_with_nothing_to_decide_has_nothing_to_remedy() -> None:
    values = load_space("handmade").to_dict()
    values["generator"]["networks"] = values["discriminator"]["networks"] = ["dcgan"]
    space = type(load_space("handmade")).from_dict(values)
    for settings in ({"entropy_weight": 0.1}, {"shrink_at": [0.5]}, {"cost_weight_g": 1.0}):
        trial = TrialConfig.parse({"remedies": settings}, "test", ConfigError)
        with pytest.raises(ConfigError, match="leaves nothing to decide"):
            check_space(trial, space, 8)
    check_space(TrialConfig(), space, 8)
