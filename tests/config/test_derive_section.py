"""The section [derive] as a user meets it: in a study, in a sweep, on the command line, in the documentation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from autogan_ray.base.errors import ConfigError
from autogan_ray.cli.main import main
from autogan_ray.config.sections import DeriveConfig
from autogan_ray.config.study import StudyConfig, load_study_config, sweepable

DOCS = Path(__file__).parents[2] / "docs" / "derivation.md"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(*settings: str, dry_run: bool = True) -> str:
    """The message of ``run smoke`` with these settings, which ends with exit code 2."""
    arguments = [word for setting in settings for word in ("--set", setting)]
    found = CliRunner().invoke(main, ["run", "smoke", *arguments, *(["--dry-run"] if dry_run else [])])
    assert not Path("results").exists()
    assert found.exit_code == 2, (found.exit_code, found.output, found.exception)
    assert "Traceback" not in found.output
    return " ".join(found.output.split())


@pytest.mark.parametrize(
    ("settings", "messages"),
    [
        (["derive.samples=-1"], ["derive.samples = -1"]),
        (["derive.max_params_g=0"], ["derive.max_params_g = 0"]),
        (["derive.max_macs_d=-5"], ["derive.max_macs_d = -5"]),
        (["derive.max_skips_per_cell_g=-1"], ["derive.max_skips_per_cell_g = -1"]),
        (["derive.max_skips_g=2"], ["no setting 'derive.max_skips_g'", "'derive.max_skips_per_cell_g'"]),
        (["derive.exclude_none=often"], ["derive.exclude_none = 'often'"]),
        (
            ["derive.samples=3", "derive.perturbation=true"],
            ["derive.samples = 3 and derive.perturbation = true exclude each other"],
        ),
        (["derive.tune_steps=5"], ["derive.tune_steps = 5 without derive.perturbation"]),
        (
            ["sweep.derive.samples={choice=[0,4]}", "sweep.derive.perturbation={choice=[true,false]}"],
            ["sweep: derive.samples = 4 and derive.perturbation = true"],
        ),
        (["sweep.derive.max_params_g={choice=[0,4]}"], ["sweep.derive.max_params_g = 0"]),
        (
            ["derive.max_params_g=10"],
            ["derive.max_params_g = 10: the smallest generator of space", "at 8 px", "at least"],
        ),
        (["derive.max_macs_d=10"], ["derive.max_macs_d = 10: the smallest discriminator of space"]),
        (
            ["sweep.derive.max_params_g={choice=[11,999999999]}"],
            ["derive.max_params_g = 11: the smallest", "where the sweep proposes", "derive.max_params_g = 11)"],
        ),
        (
            ["derive.max_params_g=2000", "sweep.model.channels_g={choice=[4,64]}"],
            ["with model.channels_g = 64", "where the sweep proposes model.channels_g = 64"],
        ),
        (
            ["sweep.space={choice=['autogan/fixed','adversarialnas']}", "derive.max_params_d=5"],
            ["smallest discriminator of space 'autogan/fixed'", "where the sweep proposes space = autogan/fixed"],
        ),
    ],
)
def test_a_mistake_is_refused_with_its_setting_and_value(settings: list[str], messages: list[str]) -> None:
    output = refused(*settings)
    for message in messages:
        assert message in output, output


def test_an_impossible_limit_ends_a_run_before_data_or_ray_are_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autogan_ray.metrics.measure.prepare", lambda *_, **__: pytest.fail("data were prepared"))
    assert "the smallest generator" in refused("derive.max_params_g=10", dry_run=False)


def test_the_size_of_own_images_is_found_for_the_check_and_of_missing_ones_left_open(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    for index in range(80):
        (folder / str(index % 2)).mkdir(exist_ok=True)
        Image.fromarray(np.full((16, 16, 3), index, np.uint8)).save(folder / str(index % 2) / f"{index}.png")
    limit = "derive.max_params_d=10"
    assert "at 16 px" in refused(limit, f"data.source=imagefolder:{folder}")
    assert "at 32 px" in refused(limit, "data.source=cifar10")
    assert "at 32 px" in refused(limit, f"data.source=imagefolder:{folder}", "data.image_size=32")
    arguments = ["run", "smoke", "--dry-run", "--set", limit, "--set", f"data.source=imagefolder:{tmp_path / 'none'}"]
    found = CliRunner().invoke(main, arguments)
    assert found.exit_code == 1 and "does not exist" in found.output


def test_a_dry_run_shows_the_section_and_a_possible_limit_passes() -> None:
    found = CliRunner().invoke(main, ["run", "smoke", "--dry-run", "--set", "derive.max_params_g=100_000_000"])
    assert found.exit_code == 0 and "[derive]\nmax_params_g = 100000000\n" in found.output, found.output


def test_the_settings_are_a_trials_so_that_sweeps_and_tables_hold_them() -> None:
    study = load_study_config("smoke", {"sweep.derive.samples": {"choice": [0, 4]}, "derive.exclude_none": True})
    trial = study.trial({"derive.samples": 4}, seed=1)
    assert trial.derive == DeriveConfig(exclude_none=True, samples=4)
    assert json.loads(trial.model_dump_json())["derive"]["samples"] == 4
    assert StudyConfig.parse(study.to_dict(), "again", ConfigError) == study
    assert {f"derive.{name}" for name in DeriveConfig.model_fields} <= set(sweepable())


def test_all_is_off_by_default_and_on_where_it_was_measured_to_help() -> None:
    assert not any(DeriveConfig().model_dump().values())
    for name in ("smoke", "cifar10"):
        assert load_study_config(name).derive == DeriveConfig()
    assert load_study_config("digits").derive == DeriveConfig(exclude_none=True)


def test_a_sweep_may_hold_both_ways_of_choosing_where_conditions_keep_them_apart() -> None:
    sweep = {
        "derive.perturbation": {"choice": [True, False]},
        "derive.samples": {"choice": [2, 4], "when": {"derive.perturbation": [False]}},
        "derive.tune_steps": {"randint": [0, 9], "when": {"derive.perturbation": [True]}},
    }
    load_study_config("smoke", {f"sweep.{key}": value for key, value in sweep.items()})


def test_the_documentation_names_every_setting_and_its_example_is_a_legal_section() -> None:
    import tomllib

    text = DOCS.read_text()
    for name in DeriveConfig.model_fields:
        assert name in text or (name[-2:] == "_d" and f"{name[:-2]}_" in text), name
    example = text.split("```toml\n")[1].split("```")[0]
    assert DeriveConfig.model_validate(tomllib.loads(example)["derive"]).samples == 8
    shown = " ".join(text.split("```console\n")[1].split("```")[0].split("\n", 1)[1].split())
    assert refused("derive.max_params_g=100") == shown
