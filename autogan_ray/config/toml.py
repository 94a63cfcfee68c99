"""A study as the text of its file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from autogan_ray.config.study import StudyConfig

_FIRST = ("schema", "name", "description", "space", "seed", "tracking")


def to_toml(study: StudyConfig) -> str:
    """Returns what was set of a study, by its file or by the command line, as a file that gives the same study."""
    values = study.model_dump(mode="json", by_alias=True, exclude_unset=True)
    tables = {key: value for key, value in values.items() if isinstance(value, Mapping) and value}
    lines = [f"{key} = {_value(values[key])}" for key in _FIRST if key in values]
    for table, entries in tables.items():
        lines += ["", f"[{table}]"]
        lines += [f"{_key(key)} = {_value(value)}" for key, value in entries.items() if value is not None]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)  # as TOML writes texts, numbers and truth values
