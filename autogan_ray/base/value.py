"""The base class of all values that are read from files.

Pydantic checks the values. This module turns its errors into a message that names the file, the key, the value and the
nearest known key.
"""

from __future__ import annotations

import types
import typing
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from autogan_ray.base.errors import UserError, nearest
from autogan_ray.base.reading import reading


class Value(BaseModel):
    """A frozen value that is hashed by its content; unknown keys and numbers that are not finite are refused."""

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
        """The value that plain data describes.

        Args:
            where: the file or other origin of the data, for the message.
            error: the class of the error that is raised for wrong data, with a line for each mistake.
        """
        with reading(where, error):  # a number may be too great for a validator's arithmetic
            try:
                return cls.model_validate(values)
            except ValidationError as failure:
                raise error("\n".join(describe(failure, cls, where))) from failure


def describe(failure: ValidationError, model: type[BaseModel], where: str) -> list[str]:
    """A sentence for each mistake: the key, its value, the rule, and for an unknown key the nearest known key."""
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
    """The keys that a model knows at a path of nested models, written as in a file (by their aliases)."""
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
    return sorted({field.alias or name for known in current for name, field in known.model_fields.items()})


def _models(annotation: Any) -> list[type[BaseModel]]:
    """All models inside an annotation, such as X in ``X | None``, ``tuple[X, ...]`` and ``dict[str, X]``."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for part in typing.get_args(annotation) for model in _models(part)]


def _is_tag(part: Any, model: type[BaseModel]) -> bool:
    """Whether a part of an error's path is the tag of a discriminated union, a level that a file does not have."""
    tags: frozenset[str] = getattr(model, "TAGS", frozenset())
    return part in tags


def no_doubles(what: str, names: Iterable[str]) -> None:
    """Raises ValueError for a name that occurs more than once."""
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"{what} {name!r} stands {count} times")


def known_name(what: str, name: str, known: Collection[str]) -> None:
    """Raises ValueError for a name that is not among the known names; the message gives the nearest."""
    if name not in known:
        raise ValueError(f"{what} {name!r} is unknown; {nearest(name, known)}")
