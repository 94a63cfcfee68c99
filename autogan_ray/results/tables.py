"""The driver's writer: all six tables of a study from its trial logs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autogan_ray.results import build
from autogan_ray.results.store import read_rows, write_table
from autogan_ray.results.trial_log import TrialLogs


def write_tables(folder: Path, about: Mapping[str, Any], logs: TrialLogs) -> None:
    """Rebuild the tables of a study folder. ``about``: what ``study.json`` holds."""
    listed, study_id = list(logs), about["study_id"]
    provenance = {key: str(about.get(key)) for key in ("study_id", "git_commit", "packages_json", "command")}
    planned, share = int(about["max_evaluations"]), float(about.get("gpus_per_trial") or 0)
    rows = {
        "trials": build.trial_rows(study_id, listed, planned, share),
        "history": build.history_rows(study_id, listed),
        "decisions": build.decision_rows(study_id, listed),
        "genotypes": build.genotype_rows(study_id, listed),
        "studies": [build.study_row(about, listed)],
    }
    for name, found in rows.items():
        write_table(folder, name, found, provenance)
    if not (folder / "evaluations.parquet").exists():
        write_table(folder, "evaluations", read_rows(folder, "evaluations"), provenance)
