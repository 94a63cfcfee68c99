"""Finds files by name or path: the shipped spaces, studies, recipes and genotypes, and a user's own.

The shipped files lie in the top-level packages ``searchspaces`` and ``studies``. They are read through
``importlib.resources``, so that wheel and editable installs behave alike. No file is executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType

from autogan_ray.base.errors import NotFoundError, nearest


@dataclass(frozen=True)
class Kind:
    """Where files of a kind are shipped.

    Args:
        label: the kind's name in messages.
        package: the package that holds the files.
        ending: of the files' names, such as ``.toml``.
        given_to: the options and verbs that take a name of the kind.
        folder: inside the package; empty for the package itself.
    """

    label: str
    package: str
    ending: str
    given_to: str
    folder: str = ""


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "space": Kind("search space", "searchspaces", ".toml", "--space, verb spaces"),
        "study": Kind("study", "studies", ".toml", "verb run, --study"),
        "recipe": Kind("recipe", "studies", ".toml", "--recipe", "recipes"),
        "genotype": Kind("genotype", "searchspaces", ".json", "--genotype, verb genotypes", "genotypes"),
    }
)


@dataclass(frozen=True)
class Document:
    """The text of a file, its name without the ending, and where it came from."""

    name: str
    text: str
    origin: str


def _shipped(kind: Kind) -> dict[str, Traversable]:
    package = resources.files(kind.package)
    entries = {
        entry.name.removesuffix(kind.ending): entry
        for entry in (package / kind.folder if kind.folder else package).iterdir()
        if entry.name.endswith(kind.ending)
    }
    return dict(sorted(entries.items()))


def names(kind: str) -> tuple[str, ...]:
    """The names of all shipped files of a kind, sorted."""
    return tuple(_shipped(KINDS[kind]))


def read(kind: str, name_or_path: str | Path) -> Document:
    """Reads a shipped file by its name, or a user's file by its path.

    Args:
        kind: a key of ``KINDS``.
        name_or_path: a path where it has a path separator or the kind's ending, else a shipped name.

    Raises NotFoundError for what is neither; the message lists the nearest shipped names, and says of what other kind
    the name is.
    """
    spec, text = KINDS[kind], str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or "\\" in text or text.endswith(spec.ending):
        return _read_file(spec, Path(text))
    shipped = _shipped(spec)
    if text not in shipped:
        others = [f"a {other.label} ({other.given_to})" for other in KINDS.values() if text in _shipped(other)]
        named = f", which is {' and '.join(others)}" if others else ""
        hint = nearest(text, shipped)
        raise NotFoundError(
            f"unknown {spec.label} {text!r}{named}; {hint} (a file of your own: give its path, ending {spec.ending})"
        )
    origin = "/".join(part for part in (spec.package, spec.folder, text + spec.ending) if part)
    return Document(text, shipped[text].read_text(encoding="utf-8"), origin)


def _read_file(spec: Kind, path: Path) -> Document:
    if not path.is_file():
        reason = "is a folder" if path.is_dir() else "does not exist"
        raise NotFoundError(f"{spec.label} file {str(path)!r} {reason}; shipped: {', '.join(_shipped(spec))}")
    try:
        return Document(path.stem, path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise NotFoundError(f"{spec.label} file {str(path)!r} is not UTF-8 text: {error}") from error
    except OSError as error:
        raise NotFoundError(f"{spec.label} file {str(path)!r} cannot be read: {error.strerror}") from error
