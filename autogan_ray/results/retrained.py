"""Retrained networks as they lie in a study's folder: what the table ``evaluations`` is built of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autogan_ray.results.rows import moment
from autogan_ray.results.store import is_lost, write_table

RESULT = "result.json"
RETRAINED = "retrain"


def read_result(folder: Path) -> dict[str, Any] | None:
    """What a finished retraining left in its folder; None where it is not finished, or what it left is damaged."""
    try:
        found = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("row"), dict) else None


def evaluation_row(result: Mapping[str, Any], study_id: str) -> dict[str, Any]:
    """A row of ``evaluations``."""
    row = result["row"]
    return row | {"study_id": study_id, "timestamp": moment(row["timestamp"])}


def retrained_rows(study: Path, study_id: str) -> list[dict[str, Any]]:
    """Of all that is finished, in the order in which they were."""
    folders = [file.parent for file in (study / RETRAINED).glob(f"*/{RESULT}")]
    rows = [evaluation_row(found, study_id) for folder in folders if (found := read_result(folder)) is not None]
    return sorted(rows, key=lambda row: (row["timestamp"], row["evaluation_id"]))


def mend_evaluations(study: Path, study_id: str) -> bool:
    """Build the table again where it is missing or damaged; whether it was. Raises ResultsError for a newer version."""
    lost = is_lost(study, "evaluations")
    if lost:
        write_table(study, "evaluations", retrained_rows(study, study_id))
    return lost
