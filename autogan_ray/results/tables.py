"""Builds all tables of a study from its trial logs; the driver alone writes them."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from autogan_ray.results.retrained import RETRAINED_TABLES, mend_retrained, write_retrained
from autogan_ray.results.rows import (
    Front,
    Row,
    Sighting,
    decision_rows,
    front_of,
    genotype_rows,
    history_rows,
    sightings,
    study_row,
    sweep_of,
    trial_rows,
)
from autogan_ray.results.schemas import TABLES, Column, swept_columns
from autogan_ray.results.store import arrow_rows, is_lost, row_groups, table_file, write_table
from autogan_ray.results.trial_log import ENDED, TrialLog, TrialLogs

OF_TRIALS = ("history", "decisions", "genotypes", "trials")
"""Tables that hold rows of each trial, in the order in which their files are replaced: a reader that comes in between
finds each genotype that a trial names."""
BLOCK = 64
"""Trials whose rows make a row group of each of these tables."""


class Tables:
    """Builds the tables of a study folder, again and again while the study runs.

    Trials come in blocks of :data:`BLOCK`, by their numbers. Rows of a block whose trials have all ended do not change
    any more, if all blocks before it have ended too: they are taken from the file that is replaced, and nothing of them
    is kept in memory. (What may still change is the number of trials that came upon a genotype, and who is on the front
    of score and cost.)
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._closed = 0  # blocks at the head of the files whose rows are final
        self._groups = dict.fromkeys(OF_TRIALS, 0)  # their row groups; a block without rows has none
        self._drawn: dict[str, Row] = {}

    def write(self, about: Mapping[str, Any], logs: TrialLogs) -> None:
        """Replaces all tables.

        Args:
            about: the content of ``study.json``.
        """
        folder, provenance = self._folder, provenance_of(about)
        listed = sorted(logs, key=lambda log: log.number)
        with _without_collection():
            try:
                self._write_trials(about, logs, listed)
            except Exception:
                if not self._closed:
                    raise
                self._closed = 0  # somebody has removed or altered a file: every row comes from the logs again
                self._write_trials(about, logs, listed)
        write_table(folder, "studies", [study_row(about, listed)], provenance)
        missing = [name for name in RETRAINED_TABLES if not table_file(folder, name).exists()]
        write_retrained(folder, about["study_id"], missing, provenance)
        pa.default_memory_pool().release_unused()  # or it keeps what the largest table took

    def _write_trials(self, about: Mapping[str, Any], logs: TrialLogs, listed: Sequence[TrialLog]) -> None:
        blocks = [listed[start : start + BLOCK] for start in range(0, len(listed), BLOCK)]
        final = len(list(takewhile(_is_final, blocks)))
        closed = self._closed if self._closed <= final else 0
        seen, front, swept = sightings(listed), front_of(about, listed), swept_columns(sweep_of(about))
        groups = dict.fromkeys(OF_TRIALS, 0)
        with ExitStack() as files:
            add = {  # the file that is opened last is the first that is replaced
                name: files.enter_context(row_groups(self._folder, name, _schema(name, swept), provenance_of(about)))
                for name in reversed(OF_TRIALS)
            }

            def add_block(block: Sequence[TrialLog]) -> None:
                whole = [logs.whole(log.trial_id) for log in block]
                for name, rows in self._rows(about, whole, seen, front).items():
                    groups[name] += add[name](arrow_rows(name, rows, swept if name == "trials" else ()))

            for name in OF_TRIALS if closed else ():
                with pq.ParquetFile(table_file(self._folder, name), page_checksum_verification=True) as before:
                    for group in range(self._groups[name]):
                        groups[name] += add[name](_up_to_date(before.read_row_group(group), seen, front))
            for block in blocks[closed:final]:
                add_block(block)
                self._drawn.clear()
            groups_closed = dict(groups)
            for block in blocks[final:]:
                add_block(block)
        self._closed, self._groups = final, groups_closed

    def _rows(
        self, about: Mapping[str, Any], block: Sequence[TrialLog], seen: Mapping[str, Sighting], front: Front
    ) -> dict[str, list[Row]]:
        study_id = about["study_id"]
        return {
            "history": history_rows(study_id, block),
            "decisions": decision_rows(study_id, block),
            "genotypes": genotype_rows(study_id, block, seen, self._drawn),
            "trials": trial_rows(about, block, self._folder, front),
        }


def _is_final(block: Sequence[TrialLog]) -> bool:
    return len(block) == BLOCK and all(log.state in ENDED for log in block)


def _schema(name: str, swept: Sequence[Column]) -> pa.Schema:
    return TABLES[name].with_columns(swept if name == "trials" else ()).schema


def _up_to_date(rows: pa.Table, seen: Mapping[str, Sighting], front: Front) -> pa.Table:
    """The rows of a closed block, with what other trials have changed of them."""
    if "n_trials" in rows.schema.names:
        return _with_column(rows, "n_trials", [seen[name].n_trials for name in rows["genotype_id"].to_pylist()])
    if "on_front" in rows.schema.names:
        return _with_column(rows, "on_front", [front.get(name) for name in rows["trial_id"].to_pylist()])
    return rows


def _with_column(rows: pa.Table, name: str, values: Sequence[Any]) -> pa.Table:
    place = rows.schema.get_field_index(name)
    field = rows.schema.field(place)
    return rows.set_column(place, field, pa.array(values, field.type))


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


@contextmanager
def _without_collection() -> Iterator[None]:
    """Lets Python's garbage collection rest in the block, which makes many objects and no cycles.

    Each of its many rounds would look at all that the driver holds: a quarter of the time of thousands of trials' rows.
    """
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()
