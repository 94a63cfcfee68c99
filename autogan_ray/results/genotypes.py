"""Genotypes as users name them: a shipped name, a file, or the id that a study's tables show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from autogan_ray.base.errors import NotFoundError, nearest
from autogan_ray.results.retrained import GENOTYPE, RETRAINED
from autogan_ray.results.store import read_rows, table_file
from autogan_ray.results.study import load_study
from autogan_ray.spaces import published
from autogan_ray.spaces.genotype import Genotype

_ID = re.compile(r"[0-9a-f]{4,12}")


def load_genotype(name: str | Path) -> Genotype:
    """Returns a genotype by shipped name (``autogan-a``), by path (ending ``.json``), or of a study by its id.

    Args:
        name: of a study, ``RESULTS:ID`` (``results/digits:ba0e02f5e52c``): the study's folder, and an id of its
            genotypes, or the beginning of an id that no other has.

    Raises:
        NotFoundError: a name that is not shipped or an id that the study does not have, with the nearest; a file that
            does not exist.
        GenotypeError: a file that is no genotype.
        ResultsError: RESULTS is not a study's folder.
    """
    return find_genotype(name)[0]


def find_genotype(name: str | Path, studies: Sequence[Path] = ()) -> tuple[Genotype, Path | None]:
    """Returns a genotype, and the folder of the study where it was found; None for a shipped one and a file.

    Args:
        name: as for :func:`load_genotype`; an id without a folder as well.
        studies: the folders in which an id without a folder is looked for.

    Raises as :func:`load_genotype` does.
    """
    text = str(name)
    folder, colon, tail = text.rpartition(":")
    if colon and folder and is_id(tail):
        load_study(folder)
        return genotype_by_id(tail, [Path(folder)])
    if not published.is_published(text):
        if is_id(text):
            return genotype_by_id(text, studies)
        _refuse_other_results(Path(text))
    try:
        return published.load_genotype(name), None
    except NotFoundError as error:
        raise NotFoundError(f"{error}; one that a study found: its id, or RESULTS:ID") from error


def is_id(text: str) -> bool:
    """Returns whether a text can be a genotype's id, or the beginning of one, of four digits at least."""
    return _ID.fullmatch(text) is not None


def genotypes_of(study: Path) -> dict[str, Genotype]:
    """Returns the genotypes that a study scored or that were retrained in its folder, by their ids."""
    table, files = table_file(study, "genotypes"), sorted((study / RETRAINED).glob(f"*/{GENOTYPE}"))
    found = [Genotype.from_json(row["genotype_json"], table) for row in read_rows(study, "genotypes")]
    found += [Genotype.from_json(file.read_bytes(), file) for file in files]
    return {genotype.genotype_id: genotype for genotype in found}


def genotype_by_id(asked: str, studies: Iterable[Path]) -> tuple[Genotype, Path]:
    """Returns the genotype with this id, or with the only id that begins so, and the first study that has it.

    Raises NotFoundError naming the nearest ids and the folders searched.
    """
    there = [(id_, genotype, study) for study in studies for id_, genotype in genotypes_of(study).items()]
    found = {id_: (genotype, study) for id_, genotype, study in reversed(there) if id_.startswith(asked)}
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise NotFoundError(f"genotype {asked!r}: several begin so, {', '.join(sorted(found))}; give more of the id")
    searched = ", ".join(dict.fromkeys(str(study) for study in studies))
    if not searched:
        raise NotFoundError(f"genotype {asked!r}: no study is there to look for this id in; name one, as RESULTS:ID")
    raise NotFoundError(f"no genotype {asked!r} in {searched}; {nearest(asked, {id_ for id_, _, _ in there})}")


def _refuse_other_results(path: Path) -> None:
    """Raises NotFoundError for a retrained generator and for a study's folder, saying where the genotypes are."""
    folder = path if path.is_dir() else path.parent
    if (path.is_dir() or path.suffix == ".safetensors") and (folder / GENOTYPE).is_file():
        raise NotFoundError(f"{str(path)!r} is a retrained generator; its genotype: {str(folder / GENOTYPE)!r}")
    if table_file(path, "studies").is_file():
        known = nearest("", genotypes_of(path))
        raise NotFoundError(f"{str(path)!r} is a study's folder; a genotype of it: {path}:ID ({known})")
