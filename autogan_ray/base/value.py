"""The base of every value read from a file: frozen, exact, and clear about what is wrong.

Pydantic does the checking; this module turns its findings into one message that names the key, the value, the
file and the nearest known key.
"""

from __future__ import annotations

import tomllib
import types
import typing
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from autogan_ray.base.errors import UserError, nearest


class Value(BaseModel):
    """Frozen, hashable by content, unknown keys refused, numbers finite, no silent conversion."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        populate_by_name=True,
        strict=False,
        protected_namespaces=(),
    )

    @classmethod
    def parse(cls, values: Any, where: str, error: type[UserError]) -> Self:
        """Validate plain data. Raises ``error`` with one line a finding; ``where`` says which file."""
        try:
            return cls.model_validate(values)
        except ValidationError as failure:
            raise error("\n".join(describe(failure, cls, where))) from failure


def parse_toml(text: str, where: str, error: type[UserError]) -> dict[str, Any]:
    """Plain data of a TOML text. Raises ``error`` naming the file and the line."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as failure:
        raise error(f"{where}: not TOML: {failure}") from failure


def describe(failure: ValidationError, model: type[BaseModel], where: str) -> list[str]:
    """One sentence for each finding: key, value, rule, and the nearest known key where the key is unknown."""
    lines = []
    for finding in failure.errors(include_url=False):
        path = [part for part in finding["loc"] if not _is_tag(part, model)]
        key = ".".join(str(part) for part in path) or "the document"
        if finding["type"] == "extra_forbidden":
            known = fields_at(model, path[:-1])
            lines.append(f"{where}: unknown key {key!r}; {nearest(str(path[-1]), known)}")
        elif finding["type"] == "missing":
            lines.append(f"{where}: key {key!r} is missing")
        else:
            message = finding["msg"].removeprefix("Value error, ")
            shown = finding["input"]
            value = "" if isinstance(shown, dict | BaseModel) else f" = {shown!r}"
            lines.append(f"{where}: {key}{value}: {message[:1].lower()}{message[1:]}")
    return lines


def fields_at(model: type[BaseModel], path: typing.Sequence[Any]) -> list[str]:
    """Keys a model knows at a path of nested models (aliases as a file writes them)."""
    current: list[type[BaseModel]] = [model]
    for part in path:
        if isinstance(part, int):
            continue
        inner: list[type[BaseModel]] = []
        for candidate in current:
            for name, field in candidate.model_fields.items():
                if part in (name, field.alias):
                    inner.extend(_models(field.annotation))
        current = inner or current
    return sorted({field.alias or name for one in current for name, field in one.model_fields.items()})


def _models(annotation: Any) -> list[type[BaseModel]]:
    """All models inside an annotation: ``X | None``, ``tuple[X, ...]``, ``dict[str, X]``."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for part in typing.get_args(annotation) for model in _models(part)]


def _is_tag(part: Any, model: type[BaseModel]) -> bool:
    """Pydantic puts the tag of a discriminated union into the path; a file has no such level."""
    tags: frozenset[str] = getattr(model, "TAGS", frozenset())
    return part in tags


def no_doubles(what: str, names: Iterable[str]) -> None:
    """Raises ValueError naming what stands more than once."""
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"{what} {name!r} stands {count} times")


def known_name(what: str, name: str, known: Collection[str]) -> None:
    """Raises ValueError for a name that is not among the known ones, with the nearest."""
    if name not in known:
        raise ValueError(f"{what} {name!r} is unknown; {nearest(name, known)}")
