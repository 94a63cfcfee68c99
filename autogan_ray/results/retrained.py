"""What retrainings left in a study's folder: the ground that the table ``evaluations`` is built from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autogan_ray.results.rows import Row, row_of
from autogan_ray.results.store import is_lost, write_table

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


def evaluation_row(result: Mapping[str, Any], study_id: str) -> Row:
    """Returns the row of ``evaluations`` for what a finished retraining left in its folder.

    A result names its files; where the table names them, the way to them from the study's folder stands before.
    """
    row, files = result["row"], ("checkpoint_path", "samples_path")
    place = Path(RETRAINED, row["evaluation_id"])
    paths = {name: str(place / Path(row[name]).name) for name in files if row.get(name)}
    return row_of("evaluations", row | paths | {"study_id": study_id})


def retrained_rows(study: Path, study_id: str) -> list[Row]:
    """Returns the rows of all finished retrainings, in the order in which they finished."""
    folders = [file.parent for file in (study / RETRAINED).glob(f"*/{RESULT}")]
    results = [result for folder in folders if (result := read_result(folder)) is not None]
    rows = [evaluation_row(result, study_id) for result in results]
    return sorted(rows, key=lambda row: (row["timestamp"], row["evaluation_id"]))


def mend_evaluations(study: Path, study_id: str) -> bool:
    """Builds ``evaluations`` again where it is missing or damaged, and returns whether it was.

    Raises ResultsError for a table that a newer version wrote.
    """
    lost = is_lost(study, "evaluations")
    if lost:
        write_table(study, "evaluations", retrained_rows(study, study_id))
    return lost
