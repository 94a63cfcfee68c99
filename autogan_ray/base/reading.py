"""Reading files to which anything may have happened: whatever is in a file, the error is ours and names the file.

Parsers raise errors of every kind at damaged content: RecursionError for deep nesting, ValueError for a number of
thousands of digits, MemoryError for a size that a flipped bit made, TypeError and KeyError for data of another form.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autogan_ray.base.errors import UserError

Pairs = Callable[[Iterable[tuple[str, Any]]], Any]


@contextmanager
def reading(place: str | Path, error: type[UserError], way_on: str = "") -> Iterator[None]:
    """Turns whatever the content of a file raises in the block into ``error``; our own errors pass as they are.

    The block holds what reads and interprets the file, and nothing else: a fault of this package in it would be taken
    for damage.

    Args:
        place: the file, or where in it.
        way_on: the end of the message: what the user can do.
    """
    try:
        yield
    except UserError:
        raise
    except RecursionError as failure:
        raise error(f"{place} is damaged (nested too deeply){way_on}") from failure
    except Exception as failure:
        raise error(f"{place} is damaged ({reason(failure)}){way_on}") from failure


def reason(failure: BaseException) -> str:
    """Returns an error in a line: its kind where the message alone would say too little."""
    words = " ".join(str(failure).split()).rstrip(".")[:300]
    if isinstance(failure, KeyError):
        return f"{words} is missing"
    if not words or isinstance(failure, TypeError | AttributeError | IndexError | AssertionError | MemoryError):
        return f"{type(failure).__name__}: {words}".rstrip(": ")
    return words


def parse_json(text: str | bytes, where: str | Path, error: type[UserError], pairs: Pairs | None = None) -> Any:
    """Returns the value of a JSON text. Raises ``error``, naming ``where``, for a text that is not JSON.

    Args:
        pairs: makes an object of its keys and values, as ``object_pairs_hook`` of :func:`json.loads`.
    """
    try:
        value = json.loads(text, object_pairs_hook=pairs)
        json.dumps(value, ensure_ascii=False).encode()  # "\ud800" is half a character: it cannot be written again
    except UserError:
        raise
    except RecursionError as failure:
        raise error(f"{where}: not JSON that can be read: it is nested too deeply") from failure
    except (ValueError, TypeError, MemoryError) as failure:  # TypeError: of a null in the place of a text
        raise error(f"{where}: not JSON: {reason(failure)}") from failure
    return value


def parse_object(text: str | bytes, where: str | Path, error: type[UserError]) -> dict[str, Any]:
    """Returns the JSON object of a text. Raises ``error`` also for another JSON value."""
    value = parse_json(text, where, error)
    if not isinstance(value, dict):
        raise error(f"{where}: a JSON object is wanted, not {'null' if value is None else type(value).__name__}")
    return value


def read_object(file: Path, error: type[UserError]) -> dict[str, Any]:
    """Returns the JSON object that a file holds. Raises OSError where the file is missing or cannot be read."""
    return parse_object(file.read_bytes(), file, error)


def parse_toml(text: str, where: str, error: type[UserError]) -> dict[str, Any]:
    """Returns the plain data of a TOML text. Raises ``error``, naming file and line, for a text that is not TOML."""
    try:
        values = tomllib.loads(text)
        repr(values)  # a number of thousands of hexadecimal digits is read, and cannot be written in decimal ones
    except RecursionError as failure:
        raise error(f"{where}: not TOML that can be read: it is nested too deeply") from failure
    except (ValueError, MemoryError) as failure:
        raise error(f"{where}: not TOML: {reason(failure)}") from failure
    return values
