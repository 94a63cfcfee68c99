"""Builds all tables of a study from its trial logs; the driver alone writes them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from autogan_ray.results.retrained import RETRAINED_TABLES, mend_retrained, write_retrained
from autogan_ray.results.rows import Row, decision_rows, genotype_rows, history_rows, study_row, sweep_of, trial_rows
from autogan_ray.results.schemas import TABLES, swept_columns
from autogan_ray.results.store import arrow_rows, is_lost, table_file, write_arrow, write_table
from autogan_ray.results.trial_log import TrialLog, TrialLogs

Builder = Callable[[str, Iterable[TrialLog]], list[Row]]

_OF_RECORDS: Mapping[str, Builder] = {"history": history_rows, "decisions": decision_rows}
"""Tables with by far the most rows; those of a trial depend on its records alone."""


class Tables:
    """Rebuilds the tables of a study folder; the rows of a trial are kept in memory until it has other records."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[tuple[str, str], tuple[list[Row], pa.Table]] = {}
        self._genotypes: dict[str, Row] = {}

    def write(self, about: Mapping[str, Any], logs: TrialLogs) -> None:
        """Replaces all tables.

        Args:
            about: the content of ``study.json``.
        """
        folder, listed, study_id = self._folder, list(logs), about["study_id"]
        provenance = provenance_of(about)
        rows = {
            # Before the trials, whose rows name them: a reader may come in between.
            "genotypes": genotype_rows(study_id, listed, self._genotypes),
            "trials": trial_rows(about, listed, folder),
            "studies": [study_row(about, listed)],
        }
        for name in _OF_RECORDS:
            write_arrow(folder, name, self._of_records(name, study_id, listed), provenance)
        more = {"trials": swept_columns(sweep_of(about))}
        for name, listed_rows in rows.items():
            write_table(folder, name, listed_rows, provenance, more.get(name, ()))
        missing = [name for name in RETRAINED_TABLES if not table_file(folder, name).exists()]
        write_retrained(folder, study_id, missing, provenance)

    def _of_records(self, name: str, study_id: str, logs: Iterable[TrialLog]) -> pa.Table:
        parts = [TABLES[name].schema.empty_table()]
        for log in logs:
            records = log.records
            before, part = self._kept.get((name, log.trial_id), ([], None))
            # A record that arrives again is another object, and a record is never altered.
            same = len(before) == len(records) and all(map(operator.is_, before, records))
            if part is None or not same:
                part = arrow_rows(name, _OF_RECORDS[name](study_id, [log]))
                self._kept[name, log.trial_id] = records, part
            parts.append(part)
        return pa.concat_tables(parts)


def provenance_of(about: Mapping[str, Any]) -> dict[str, str]:
    """Returns what every table's file tells of its study, from the content of ``study.json``."""
    return {key: str(about.get(key)) for key in ("study_id", "git_commit", "packages_json", "command")}


def write_tables(folder: Path, about: Mapping[str, Any], logs: TrialLogs) -> None:
    """Builds all tables of a study folder once. ``about`` is the content of ``study.json``."""
    Tables(folder).write(about, logs)


def mend_tables(folder: Path, about: Mapping[str, Any], logs: TrialLogs) -> list[str]:
    """Builds the tables again where one is missing or damaged, and returns the names of the lost tables.

    Raises ResultsError for a table that a newer version wrote.
    """
    lost = mend_retrained(folder, about["study_id"])
    of_trials = [name for name in TABLES if is_lost(folder, name)]
    if of_trials:
        write_tables(folder, about, logs)
    return [*of_trials, *lost]
