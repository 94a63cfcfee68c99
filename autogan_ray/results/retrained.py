"""What retrainings left in a study's folder: the ground of the tables ``evaluations`` and ``curves``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from autogan_ray.base.errors import ResultsError
from autogan_ray.base.reading import read_object, reading
from autogan_ray.results.rows import Row, row_of
from autogan_ray.results.schemas import SINCE_SCHEMA_2
from autogan_ray.results.store import arrow_rows, is_lost, table_file, write_table
from autogan_ray.results.trial_log import FOLDER, TrialLog, TrialLogs

if TYPE_CHECKING:
    from autogan_ray.results.study_tables import StudyTables

RESULT = "result.json"
RETRAINED = "retrain"
GENOTYPE = "genotype.json"
GENERATOR = "generator.safetensors"
NETWORK_IDS = r"(retrain|random|published|user)-.+"
"""Pattern of the ids of retrainings: source, genotype, recipe and seed."""
_TRAINED_AGAIN = "; without it the network is trained again"


def read_result(folder: Path) -> dict[str, Any] | None:
    """Returns what a finished retraining left in its folder; None where it is not finished or its file is damaged."""
    try:
        result = read_object(folder / RESULT, ResultsError)
    except (OSError, ResultsError):
        return None
    if not isinstance(result.get("row"), dict):
        return None
    return result | {"at": result["row"].get("timestamp", 0.0), "scored": True}


def recipe_options(study: StudyTables, recipe: str) -> list[str]:
    """Returns the options of ``retrain`` that train by a recipe of a study; none where it is the study's own, or where
    the logs of all its retrainings are gone. Raises ResultsError for a log that is damaged.
    """
    own = study.config.get("retrain", {})
    for log in TrialLogs(study.folder / RETRAINED, NETWORK_IDS):
        with reading(log_file(study.folder, log.trial_id), ResultsError, _TRAINED_AGAIN):
            if log.about and log.about["config"]["row"].get("recipe") == recipe:
                settings = log.about["config"]["retrain"].items()
                changed = {name: value for name, value in settings if value not in (None, own.get(name))}
                return [
                    text for name, value in changed.items() for text in ("--set", f"retrain.{name}={json.dumps(value)}")
                ]
    return []


def _evaluation_rows(result: Mapping[str, Any], study_id: str) -> list[Row]:
    """Returns the one row of ``evaluations``, or none where nothing is scored yet.

    A result names its files; where the table names them, the way to them from the study's folder stands before.
    """
    if not result["scored"]:
        return []
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


def log_file(study: Path, evaluation_id: str) -> Path:
    """Returns where the log of a retraining lies."""
    return study / RETRAINED / FOLDER / f"{evaluation_id}.jsonl"


def _networks(study: Path) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """Yields id, file and result of each retraining of a study.

    Of candidates of a race, and of trainings that are not finished, it is made from their logs: without a row where
    there is no score yet, or where the score will be that of the finished network. A training that failed has a row
    without a score.
    """
    finished = set()
    for file in (study / RETRAINED).glob(f"*/{RESULT}"):
        if (result := read_result(file.parent)) is not None:
            finished.add(name := file.parent.name)
            yield name, file, result
    for log in TrialLogs(study / RETRAINED, NETWORK_IDS):
        if log.about and log.trial_id not in finished:
            file = log_file(study, log.trial_id)
            with reading(file, ResultsError, _TRAINED_AGAIN):
                result = _result_so_far(log)
            yield log.trial_id, file, result


def _result_so_far(log: TrialLog) -> dict[str, Any]:
    row, records = dict(log.about["config"]["row"]), log.records
    result = {"row": row, "curve": records, "at": records[-1]["timestamp"] if records else 0.0, "scored": False}
    if row["stage"] == "race" and records:
        best, last = log.best, records[-1]
        row |= {"kimg": last["kimg"], "wall_s": last["wall_s"], "timestamp": last["timestamp"]}
        row |= {"n_fake": last["n_fake"], "fid_race": None if best is None else best["fid"]}
        result["scored"] = True
    elif log.state == "error":
        last = records[-1] if records else {"kimg": 0.0, "wall_s": 0.0, "timestamp": log.status.get("started_at", 0.0)}
        row |= {key: last[key] for key in ("kimg", "wall_s", "timestamp")}
        result |= {"at": last["timestamp"], "scored": True}
    return result


def write_retrained(
    study: Path, study_id: str, names: Iterable[str], provenance: Mapping[str, str] | None = None
) -> None:
    """Writes some of the tables ``evaluations`` and ``curves`` from what all retrainings left, in their order.

    Raises ResultsError for a file of a retraining that is damaged.
    """
    names, found = list(names), []
    for evaluation_id, file, result in _networks(study):
        with reading(file, ResultsError, _TRAINED_AGAIN):
            assert result["row"]["evaluation_id"] == evaluation_id, "it is of another retraining"
            rows = {name: _ROWS[name](result, study_id) for name in names}
            for name in names:
                arrow_rows(name, rows[name])  # as a table will have them
            found.append((float(result["at"]), evaluation_id, rows))
    found.sort(key=lambda one: one[:2])
    for name in names:
        write_table(study, name, [row for *_, rows in found for row in rows[name]], provenance)


def mend_retrained(study: Path, study_id: str) -> list[str]:
    """Builds ``evaluations`` and ``curves`` again where they are missing or damaged; returns the names of the lost.

    Tables that a study of an earlier version never had are made, and are not among these.

    Raises ResultsError for a table that a newer version wrote.
    """
    lost = [name for name in RETRAINED_TABLES if is_lost(study, name)]
    new = [name for name in lost if name in SINCE_SCHEMA_2 and not table_file(study, name).exists()]
    write_retrained(study, study_id, lost)
    return [name for name in lost if name not in new]
