"""``--set a.b=v`` of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autogan_ray.base.errors import ConfigError, nearest
from autogan_ray.base.value import parse_toml
from autogan_ray.config.study import StudyConfig, absolute, assign, dotted_names

_PLACES = ("data.source", "data.root", "metrics.weights", "metrics.batch_size")
"""Settings of a stored study that another machine may need otherwise, and that change no result."""


def parse_override(text: str) -> tuple[str, Any]:
    """Returns key and value of ``a.b=v``; v is read as TOML, and as a plain string where it is not TOML.

    Raises:
        ConfigError: the text has no ``=``, or its key is no setting of a study.
    """
    key, sign, raw = text.partition("=")
    key = key.strip()
    if not sign or not key:
        raise ConfigError(f"--set {text!r}: write it as key=value, such as --set optim.lr_g=0.001")
    known = dotted_names(StudyConfig)
    if key not in known and not key.startswith("sweep."):
        same = [name for name in known if name.rpartition(".")[2] == key]
        raise ConfigError(f"--set {text!r}: no setting {key!r}; {nearest(same[0] if same else key, same or known)}")
    try:
        return key, parse_toml(f"v = {raw.strip()}", "", ConfigError)["v"]
    except ConfigError:
        return key, raw.strip()


def relocate(values: dict[str, Any], overrides: Sequence[str]) -> None:
    """Sets where files lie now, in the configuration of a stored study.

    Args:
        values: the configuration as a nested dictionary, which is changed.
        overrides: ``key=value``, as typed.

    Raises ConfigError for a setting that decides results.
    """
    for text in overrides:
        key, value = parse_override(text)
        if key not in _PLACES:
            raise ConfigError(
                f"--set {key}: of a study that has run only where files lie may change ({', '.join(_PLACES)}), and "
                "retrain.* of a retraining"
            )
        assign(values, key, absolute(str(value)) if key == "data.source" else value)
