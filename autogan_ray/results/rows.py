"""From trial logs to table rows: pure functions, so that tables are rebuilt and never patched.

Which value stands in which column is said in :mod:`autogan_ray.results.schemas`; what must be computed is here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autogan_ray.config.score_and_cost import SCORE, cost_in
from autogan_ray.results.decidedness import decidedness
from autogan_ray.results.drawing import draw
from autogan_ray.results.front import on_front
from autogan_ray.results.paths import path_for_table
from autogan_ray.results.schemas import TABLES, TIME, swept_columns
from autogan_ray.results.trial_log import TrialLog
from autogan_ray.spaces.genotype import Genotype

Row = dict[str, Any]


def row_of(table: str, values: Mapping[str, Any]) -> Row:
    """Returns the values that have a column of their name in the table; seconds since 1970 become aware times."""
    columns = TABLES[table].columns
    return {
        column.name: as_time(values[column.name]) if column.type == TIME else values[column.name]
        for column in columns
        if column.name in values
    }


def as_time(seconds: float | None) -> datetime | None:
    """Converts seconds since 1970 to a time in UTC; Arrow wants the zone said."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def sweep_of(about: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns what a study sweeps, dotted key -> domain as JSON has it; nothing where no configuration is recorded.

    Args:
        about: the content of ``study.json``.
    """
    return dict(json.loads(about.get("config_json") or "{}").get("sweep", {}))


def trial_rows(about: Mapping[str, Any], logs: Iterable[TrialLog], folder: Path, front: Front) -> list[Row]:
    """Returns one row per trial, scored or not, with the columns of what the study sweeps (:func:`swept_columns`).

    Args:
        about: the content of ``study.json``.
        folder: of the study, which paths are made relative to.
        front: of all trials of the study, from :func:`front_of`.
    """
    sweep = sweep_of(about)
    return [
        _trial_row(about, log, folder)
        | swept_values(sweep, log.about.get("config", {}))
        | {"on_front": front.get(log.trial_id)}
        for log in logs
    ]


Front = Mapping[str, bool]
"""Trial with a score -> whether it is on the front of score and cost; empty where the study has no cost."""


def front_of(about: Mapping[str, Any], logs: Iterable[TrialLog]) -> Front:
    """Returns which trials of a study are on its front.

    Args:
        about: the content of ``study.json``.
    """
    cost = cost_in(json.loads(about.get("config_json") or "{}"))
    if cost is None:
        return {}
    best = {log.trial_id: log.best for log in logs if log.best is not None and log.best.get(cost) is not None}
    return dict(zip(best, on_front([(record[SCORE], record[cost]) for record in best.values()]), strict=True))


def swept_values(sweep: Mapping[str, Mapping[str, Any]], config: Mapping[str, Any]) -> Row:
    """Returns column -> a trial's setting; None where the conditions of the sweep leave the setting out.

    Args:
        config: the trial's configuration; nothing where it is not known.
    """

    def plays_a_part(key: str) -> bool:
        conditions = sweep[key].get("when", {}) if key in sweep else {}
        return all(_value_at(config, other) in wanted and plays_a_part(other) for other, wanted in conditions.items())

    keys = [column.name for column in swept_columns(sweep)]
    return {key: _value_at(config, key) if config and plays_a_part(key) else None for key in keys}


def _trial_row(about: Mapping[str, Any], log: TrialLog, folder: Path) -> Row:
    records, config = log.records, log.about.get("config", {})
    last = records[-1] if records else {}
    sources = {"about": log.about, "config": config, "status": log.status, "best": log.best, "last": last}
    sources["first_rung"] = log.scored_at(int(about["grace_evaluations"]))
    read = {column.name: _value_at(sources, column.source) for column in TABLES["trials"].columns if column.source}
    computed = {
        "study_id": about["study_id"],
        "trial_id": log.trial_id,
        "status": log.state,
        "evaluations": len(records),
        "planned_evaluations": int(about["max_evaluations"]),
        "evaluations_saved": max(0, int(about["max_evaluations"]) - len(records)) if log.state == "pruned" else 0,
        "restarts": max(0, log.status.get("starts", 0) - 1),
        "config_json": json.dumps(config, sort_keys=True),
        "gpu_s": last["wall_s"] * float(about.get("gpus_per_trial") or 0) if last else None,
        "eval_s": sum(record["eval_s"] for record in records) if records else None,
        "peak_mem_mib": max((record["peak_mem_mib"] for record in records), default=None),
    }
    if shown := log.best or last:
        computed["undecided"] = decidedness(shown["decisions"]).undecided
    if read["checkpoint_path"] is not None:  # logs of earlier versions hold it absolute
        read["checkpoint_path"] = path_for_table(folder, read["checkpoint_path"])
    return row_of("trials", read | computed)


def _value_at(values: Mapping[str, Any], path: str) -> Any:
    """Follows a dotted path through nested mappings; None where it leads nowhere."""
    value: Any = values
    for name in path.split("."):
        value = value.get(name) if value else None
    return value


def history_rows(study_id: str, logs: Iterable[TrialLog]) -> list[Row]:
    """Returns one row per evaluation of a trial."""
    return [
        row_of("history", record | {"study_id": study_id, "trial_id": log.trial_id})
        for log in logs
        for record in log.records
    ]


def decision_rows(study_id: str, logs: Iterable[TrialLog]) -> list[Row]:
    """Returns one row per choice of a decision at an evaluation; ``selected`` names the genotype's, after repairs."""
    rows = []
    for log in logs:
        for record in log.records:
            chosen = record["genotype"]["generator"] | record["genotype"]["discriminator"]
            for decision, choices in record["decisions"].items():
                for choice, (logit, probability) in choices.items():
                    rows.append(
                        {
                            "study_id": study_id,
                            "trial_id": log.trial_id,
                            "evaluation": record["evaluation"],
                            "network": decision.split(".", 1)[0],
                            "decision": decision,
                            "choice": choice,
                            "logit": logit,
                            "probability": probability,
                            "selected": chosen[decision] == choice,
                        }
                    )
    return rows


@dataclass
class Sighting:
    """Where a genotype was first scored, and in how many trials it was."""

    first_trial_id: str
    first_evaluation: int
    n_trials: int = 0


def sightings(logs: Iterable[TrialLog]) -> dict[str, Sighting]:
    """Returns the genotypes that were scored, by their ids in the order of trials and evaluations."""
    found: dict[str, Sighting] = {}
    for log in logs:
        names = {record["genotype_id"]: record["evaluation"] for record in reversed(log.records)}
        for name in sorted(names, key=names.__getitem__):
            found.setdefault(name, Sighting(log.trial_id, names[name])).n_trials += 1
    return found


def genotype_rows(
    study_id: str, logs: Iterable[TrialLog], seen: Mapping[str, Sighting], kept: dict[str, Row]
) -> list[Row]:
    """Returns one row for each genotype that was first scored in one of these trials.

    Args:
        seen: from :func:`sightings`.
        kept: genotype id -> the columns that depend on the genotype alone. The function fills it and reads it at the
            next call, as drawing a genotype takes longest.
    """
    rows = []
    for log in logs:
        for record in log.records:
            name = record["genotype_id"]
            sighting = seen[name]
            if (sighting.first_trial_id, sighting.first_evaluation) != (log.trial_id, record["evaluation"]):
                continue
            if name not in kept:
                kept[name] = _described(record)
            rows.append(kept[name] | {"study_id": study_id} | asdict(sighting))
    return rows


def _described(record: dict[str, Any]) -> Row:
    genotype = Genotype.from_dict(record["genotype"])
    drawn = {"space": genotype.space, "genotype_json": genotype.to_json(), "text": draw(genotype)}
    return row_of("genotypes", record) | drawn


def best_trial(logs: Iterable[TrialLog]) -> TrialLog | None:
    """Returns the trial with the best evaluation, or None; trials that ran longer win a tie."""
    scored = [(log.best["fid"], -len(log.records), log) for log in logs if log.best is not None]
    return min(scored, key=lambda item: item[:2])[2] if scored else None


def study_row(about: Mapping[str, Any], logs: Iterable[TrialLog]) -> Row:
    """Returns the study's own row: what ``study.json`` says, plus the best trial and the time spent so far."""
    logs = list(logs)
    best = best_trial(logs)
    spent = sum(log.records[-1]["wall_s"] for log in logs if log.records)
    gpu_s = spent * float(about.get("gpus_per_trial") or 0.0)
    firsts = [log.records[0] for log in logs if log.records]
    untrained = next((record["fid_untrained"] for record in firsts if "fid_untrained" in record), None)
    found = {"best_trial_id": best and best.trial_id, "gpu_s": gpu_s, "fid_untrained": untrained}
    return row_of("studies", {**about, **found})
