"""The driver's writer: all six tables of a study from its trial logs."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from autogan_ray.results import rows as build
from autogan_ray.results.retrained import mend_evaluations, retrained_rows
from autogan_ray.results.schemas import TABLES
from autogan_ray.results.store import arrow_rows, is_lost, write_arrow, write_table
from autogan_ray.results.trial_log import TrialLog, TrialLogs

Builder = Callable[[str, Iterable[TrialLog]], list[build.Row]]

# By far the most rows, and those of a trial change with its records alone.
_OF_RECORDS: Mapping[str, Builder] = {"history": build.history_rows, "decisions": build.decision_rows}


class Tables:
    """Rebuilds the tables of a study folder; what was built of a trial is kept until it has other records."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[tuple[str, str], tuple[list[dict[str, Any]], pa.Table]] = {}
        self._genotypes: dict[str, build.Row] = {}

    def write(self, about: Mapping[str, Any], logs: TrialLogs) -> None:
        """Replace all tables. ``about``: what ``study.json`` holds."""
        folder, listed, study_id = self._folder, list(logs), about["study_id"]
        provenance = {key: str(about.get(key)) for key in ("study_id", "git_commit", "packages_json", "command")}
        planned, share = int(about["max_evaluations"]), float(about.get("gpus_per_trial") or 0)
        rows = {
            "trials": build.trial_rows(study_id, listed, planned, share),
            "genotypes": build.genotype_rows(study_id, listed, self._genotypes),
            "studies": [build.study_row(about, listed)],
        }
        for name in _OF_RECORDS:
            write_arrow(folder, name, self._of_records(name, study_id, listed), provenance)
        for name, found in rows.items():
            write_table(folder, name, found, provenance)
        if not (folder / "evaluations.parquet").exists():
            write_table(folder, "evaluations", retrained_rows(folder, study_id), provenance)

    def _of_records(self, name: str, study_id: str, logs: Iterable[TrialLog]) -> pa.Table:
        parts = [TABLES[name].schema.empty_table()]
        for log in logs:
            records = log.records
            before, part = self._kept.get((name, log.trial_id), ([], None))
            # A record that is told again is another object; one that was told is never altered.
            same = len(before) == len(records) and all(map(operator.is_, before, records))
            if part is None or not same:
                part = arrow_rows(name, _OF_RECORDS[name](study_id, [log]))
                self._kept[name, log.trial_id] = records, part
            parts.append(part)
        return pa.concat_tables(parts)


def write_tables(folder: Path, about: Mapping[str, Any], logs: TrialLogs) -> None:
    """Build all tables of a study folder once. ``about``: what ``study.json`` holds."""
    Tables(folder).write(about, logs)


def mend_tables(folder: Path, about: Mapping[str, Any], logs: TrialLogs) -> list[str]:
    """Build tables again where one is missing or damaged; gives the names of those that were.

    Raises ResultsError for a table of a newer version.
    """
    lost = [name for name in TABLES if is_lost(folder, name)]
    if mend_evaluations(folder, about["study_id"]) and len(lost) == 1:
        return lost
    if lost:
        write_tables(folder, about, logs)
    return lost
