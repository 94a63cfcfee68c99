"""The setting ``tracking``: how it is typed, and what is said of a package that is not there."""

from __future__ import annotations

import pytest

from autogan_ray.base.errors import ConfigError
from autogan_ray.config import tracking
from autogan_ray.config.overrides import parse_override
from autogan_ray.config.study import StudyConfig, load_study_config
from autogan_ray.config.toml import to_toml
from autogan_ray.config.tracking import missing_tracker


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("mlflow", ("mlflow",)),
        ("mlflow,wandb", ("mlflow", "wandb")),
        ('["tensorboard", "wandb"]', ("tensorboard", "wandb")),
        ("none", ()),
        ("[]", ()),
    ],
)
def test_trackers_are_typed_by_their_names(typed: str, meant: tuple[str, ...]) -> None:
    study = load_study_config("smoke", dict([parse_override(f"tracking={typed}")]))
    assert study.tracking == meant
    assert StudyConfig.parse(study.to_dict(), "again", ConfigError).tracking == meant
    assert ("\ntracking = [" in to_toml(study)) and load_study_config("smoke").tracking == ("tensorboard",)


@pytest.mark.parametrize(
    ("typed", "message"), [("mlflo", "'mlflo' is no tracker; did you mean 'mlflow'"), ("wandb,wandb", "stands 2 times")]
)
def test_a_slip_is_named_with_the_nearest_name(typed: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_study_config("smoke", {"tracking": typed})


def test_a_package_that_is_not_installed_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: name == "tensorboardX" or None)
    assert missing_tracker(("tensorboard",)) is None
    line = missing_tracker(("tensorboard", "mlflow"))
    assert line is not None and line.startswith("tracking: mlflow asked for, and not installed: pip install mlflow; ")
    assert line.endswith("--set tracking=tensorboard")
    assert str(missing_tracker(("wandb",))).endswith("--set tracking=none")
