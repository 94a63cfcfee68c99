"""What retrainings left in a study's folder: the ground of the tables ``evaluations`` and ``curves``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from autogan_ray.results.rows import Row, row_of
from autogan_ray.results.schemas import SINCE_SCHEMA_2
from autogan_ray.results.store import append_rows, is_lost, table_file, write_table

RESULT = "result.json"
RETRAINED = "retrain"
GENOTYPE = "genotype.json"
GENERATOR = "generator.safetensors"


def read_result(folder: Path) -> dict[str, Any] | None:
    """Returns what a finished retraining left in its folder; None where it is not finished or its file is damaged."""
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) and isinstance(result.get("row"), dict) else None


def add_result(study: Path, result: Mapping[str, Any], study_id: str) -> None:
    """Adds what a finished retraining left to the tables ``evaluations`` and ``curves``; one process may write."""
    for name, rows in _ROWS.items():
        append_rows(study, name, rows(result, study_id))


def _evaluation_rows(result: Mapping[str, Any], study_id: str) -> list[Row]:
    """Returns the one row of ``evaluations``.

    A result names its files; where the table names them, the way to them from the study's folder stands before.
    """
    row, files = result["row"], ("checkpoint_path", "samples_path")
    place = Path(RETRAINED, row["evaluation_id"])
    paths = {name: str(place / Path(row[name]).name) for name in files if row.get(name)}
    more = {"study_id": study_id, "fid_untrained": result.get("fid_untrained")}
    return [row_of("evaluations", row | paths | more)]


def _curve_rows(result: Mapping[str, Any], study_id: str) -> list[Row]:
    """Returns a row for each score on the way; results of earlier versions hold less of each, or no curve."""
    key = {"study_id": study_id, "evaluation_id": result["row"]["evaluation_id"]}
    return [row_of("curves", key | point) for point in result.get("curve", ())]


_ROWS = MappingProxyType({"evaluations": _evaluation_rows, "curves": _curve_rows})
RETRAINED_TABLES = tuple(_ROWS)


def write_retrained(
    study: Path, study_id: str, names: Iterable[str], provenance: Mapping[str, str] | None = None
) -> None:
    """Writes some of the tables ``evaluations`` and ``curves`` from the folders of all finished retrainings.

    Rows stand in the order in which the retrainings finished.
    """
    folders = [file.parent for file in (study / RETRAINED).glob(f"*/{RESULT}")]
    results = [result for folder in folders if (result := read_result(folder)) is not None]
    results.sort(key=lambda result: (result["row"]["timestamp"], result["row"]["evaluation_id"]))
    for name in names:
        rows = [row for result in results for row in _ROWS[name](result, study_id)]
        write_table(study, name, rows, provenance)


def mend_retrained(study: Path, study_id: str) -> list[str]:
    """Builds ``evaluations`` and ``curves`` again where they are missing or damaged; returns the names of the lost.

    Tables that a study of an earlier version never had are made, and are not among these.

    Raises ResultsError for a table that a newer version wrote.
    """
    lost = [name for name in RETRAINED_TABLES if is_lost(study, name)]
    new = [name for name in lost if name in SINCE_SCHEMA_2 and not table_file(study, name).exists()]
    write_retrained(study, study_id, lost)
    return [name for name in lost if name not in new]
