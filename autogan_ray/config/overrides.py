"""``--set a.b=v`` of the command line."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from autogan_ray.base.errors import ConfigError, nearest
from autogan_ray.base.reading import parse_toml
from autogan_ray.config.study import StudyConfig, assign, dotted_names, make_places_absolute

_PLACES = ("data.source", "data.root", "metrics.weights")
"""Settings of a stored study that another machine may need otherwise, and that change no result."""

_REASONS = {
    "metrics.batch_size": "; batch norms take their statistics from batches of that size, so scores would not compare"
}
"""Settings that seem to change no result, with the reason why they may not change."""


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
        raise ConfigError(f"--set {text!r}: no setting {key!r}; {_nearest_settings(key, known)}")
    try:
        return key, parse_toml(f"v = {raw.strip()}", "", ConfigError)["v"]
    except ConfigError:
        return key, raw.strip()


def _nearest_settings(key: str, known: Sequence[str]) -> str:
    """The end of a message on an unknown key: the settings that are like it, also by their names alone.

    >>> _nearest_settings("lr", ["optim.lr_g", "retrain.lr_g", "seed"])
    "did you mean 'optim.lr_g' or 'retrain.lr_g'?"
    """
    own = {name: name.rpartition(".")[2] for name in known}
    like = [key] if key in own.values() else difflib.get_close_matches(key, set(own.values()), n=3)
    same = [repr(name) for name in known if own[name] in like]
    if same:
        return f"did you mean {' or '.join(same)}?"
    if difflib.get_close_matches(key, known):
        return nearest(key, known)
    sections = dict.fromkeys(name.partition(".")[0] for name in known if "." in name)
    return f"the sections are {', '.join(sections)}; run --dry-run --json shows all settings"


def is_place(text: str) -> bool:
    """Returns whether ``key=value`` says where files lie, which :func:`relocate` takes. Raises ConfigError."""
    return parse_override(text)[0] in _PLACES


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
                f"retrain.* of a retraining{_REASONS.get(key, '')}"
            )
        assign(values, key, value)
    make_places_absolute(values)
