"""Name or path to text and digest: how shipped files and a user's own are found, the same way for all.

The shipped files live in the top-level packages ``searchspaces`` and ``studies``, read through
``importlib.resources`` so that wheel and editable installs behave alike. Nothing found here is executed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType

from autogan_ray.base.errors import NotFoundError, nearest


@dataclass(frozen=True)
class Kind:
    """Where one kind of file is shipped: the package (and its folder) that holds it and the ending of its files."""

    label: str
    package: str
    ending: str
    folder: str = ""


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "space": Kind("search space", "searchspaces", ".toml"),
        "study": Kind("study", "studies", ".toml"),
        "recipe": Kind("recipe", "studies", ".toml", "recipes"),
        "genotype": Kind("genotype", "searchspaces", ".json", "genotypes"),
    }
)


@dataclass(frozen=True)
class Document:
    """One file's text with where it came from; ``digest`` is the sha256 of the text in UTF-8."""

    name: str
    text: str
    origin: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def _shipped(kind: Kind) -> dict[str, Traversable]:
    place = resources.files(kind.package)
    found = {
        entry.name.removesuffix(kind.ending): entry
        for entry in (place / kind.folder if kind.folder else place).iterdir()
        if entry.name.endswith(kind.ending)
    }
    return dict(sorted(found.items()))


def names(kind: str) -> tuple[str, ...]:
    """Names of the shipped files of a kind, sorted."""
    return tuple(_shipped(KINDS[kind]))


def read(kind: str, name_or_path: str | Path) -> Document:
    """The text of a shipped file, by name, or of a user's own, by path.

    A value with a path separator or the kind's ending is a path; anything else is a shipped name.

    Raises:
        NotFoundError: neither; the message lists the nearest shipped names.
    """
    spec, text = KINDS[kind], str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or "\\" in text or text.endswith(spec.ending):
        return _read_file(spec, Path(text))
    shipped = _shipped(spec)
    if text not in shipped:
        hint = nearest(text, shipped)
        raise NotFoundError(
            f"unknown {spec.label} {text!r}; {hint} (a file of your own: give its path, ending {spec.ending})"
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
