"""The setting ``tracking``: which programs draw the curves of a study's trials while it runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from importlib.util import find_spec
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from autogan_ray.base.errors import nearest

PACKAGES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}
"""Name of a tracker -> the package that writes for it."""
NONE = "none"


def _listed(value: object) -> object:
    """Reads ``mlflow,tensorboard`` as a list, and ``none`` as an empty one, as one types them after ``--set``."""
    if not isinstance(value, str):
        return value
    return [] if value == NONE else [name.strip() for name in value.split(",")]


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in PACKAGES:
            raise ValueError(f"{name!r} is no tracker; {nearest(name, [*PACKAGES, NONE])}")
        if names.count(name) > 1:
            raise ValueError(f"{name!r} stands {names.count(name)} times; once is enough")
    return names


Tracking = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_known)]


def missing_tracker(tracking: tuple[str, ...]) -> str | None:
    """Returns a sentence on the packages that are not installed, with the command that installs them, else None."""
    lacking = [name for name in tracking if find_spec(PACKAGES[name]) is None]
    if not lacking:
        return None
    packages = " ".join(PACKAGES[name] for name in lacking)
    asked = f"tracking: {', '.join(lacking)} asked for, and not installed"
    return f"{asked}: pip install {packages}; {go_without(tracking, lacking)}"


def go_without(tracking: Sequence[str], lacking: Collection[str]) -> str:
    """Says how a study goes on without some of its trackers."""
    return f"or go without: --set tracking={','.join(name for name in tracking if name not in lacking) or NONE}"
