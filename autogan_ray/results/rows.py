"""From trial logs to table rows: pure functions, so that tables are rebuilt, never patched."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from autogan_ray.results.drawing import draw
from autogan_ray.results.trial_log import TrialLog
from autogan_ray.spaces.genotype import Genotype

Row = dict[str, Any]
COSTS = ("params_g", "params_d", "macs_g", "macs_d")

# Of a record, what is not a column of ``history``.
_ELSEWHERE = {"genotype", "decisions", "diverged", "wall_s", "device", "node", "pid", *COSTS}


def moment(seconds: float | None) -> datetime | None:
    """Seconds since 1970 to an aware time; Arrow wants the zone said."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def trial_rows(study_id: str, logs: Iterable[TrialLog], planned: int, gpus_per_trial: float) -> list[Row]:
    """One row a trial, scored or not."""
    return [_trial_row(study_id, log, planned, gpus_per_trial) for log in logs]


def _trial_row(study_id: str, log: TrialLog, planned: int, gpus: float) -> Row:
    records, best = log.records, log.best
    last = records[-1] if records else {}
    config = log.about.get("config", {})
    search, optim = config.get("search", {}), config.get("optim", {})
    wall = last.get("wall_s")
    return {
        "study_id": study_id,
        "trial_id": log.trial_id,
        "number": log.about.get("number"),
        "status": log.state,
        "evaluations": len(records),
        "planned_evaluations": planned,
        "restarts": max(0, log.status.get("starts", 0) - 1),
        "seed": config.get("seed"),
        "space": config.get("space"),
        **{key: search.get(key) for key in ("method", "relaxation", "temperature_start", "temperature_end")},
        **{key: optim.get(key) for key in ("lr_g", "lr_d", "lr_arch_g", "lr_arch_d")},
        "config_json": json.dumps(config, sort_keys=True),
        "fid_best": best and best["fid"],
        "fid_best_evaluation": best and best["evaluation"],
        "fid_last": last.get("fid"),
        "genotype_id": best and best["genotype_id"],
        **{key: best and best.get(key) for key in COSTS},
        "entropy_g_last": last.get("entropy_g"),
        "entropy_d_last": last.get("entropy_d"),
        "started_at": moment(log.status.get("started_at")),
        "wall_s": wall,
        "gpu_s": None if wall is None else wall * gpus,
        "eval_s": sum(record["eval_s"] for record in records) if records else None,
        "peak_mem_mib": max((record["peak_mem_mib"] for record in records), default=None),
        "node": last.get("node"),
        "device": last.get("device"),
        "error_type": log.status.get("error_type"),
        "error_message": log.status.get("error_message"),
        "checkpoint_path": log.status.get("checkpoint_path"),
    }


def history_rows(study_id: str, logs: Iterable[TrialLog]) -> list[Row]:
    """One row an evaluation of a trial."""
    return [
        {"study_id": study_id, "trial_id": log.trial_id}
        | {key: value for key, value in record.items() if key not in _ELSEWHERE}
        | {"timestamp": moment(record["timestamp"])}
        for log in logs
        for record in log.records
    ]


def decision_rows(study_id: str, logs: Iterable[TrialLog]) -> list[Row]:
    """One row a choice of a decision at an evaluation; ``selected`` is the genotype's, after repairs."""
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


def genotype_rows(study_id: str, logs: Iterable[TrialLog], kept: dict[str, Row] | None = None) -> list[Row]:
    """One row a genotype that was scored, with where it was first seen and in how many trials.

    ``kept``: genotype -> what depends on nothing else, filled here and found at the next call.
    """
    kept = {} if kept is None else kept
    rows: dict[str, Row] = {}
    seen_in: dict[str, set[str]] = {}
    for log in logs:
        for record in log.records:
            name = record["genotype_id"]
            seen_in.setdefault(name, set()).add(log.trial_id)
            if name in rows:
                continue
            if name not in kept:
                kept[name] = _described(record)
            rows[name] = kept[name] | {
                "study_id": study_id,
                "genotype_id": name,
                "first_trial_id": log.trial_id,
                "first_evaluation": record["evaluation"],
            }
    return [row | {"n_trials": len(seen_in[name])} for name, row in rows.items()]


def _described(record: dict[str, Any]) -> Row:
    genotype = Genotype.from_dict(record["genotype"])
    costs = {key: record.get(key) for key in COSTS}
    return {"space": genotype.space, "genotype_json": genotype.to_json(), "text": draw(genotype), **costs}


def best_trial(logs: Iterable[TrialLog]) -> TrialLog | None:
    """The trial with the best evaluation; trials that ran longer win a tie."""
    scored = [(log.best["fid"], -len(log.records), log) for log in logs if log.best is not None]
    return min(scored, key=lambda item: item[:2])[2] if scored else None


def study_row(about: Mapping[str, Any], logs: Iterable[TrialLog]) -> Row:
    """The study's own row: what ``study.json`` says, plus the best trial and the time spent so far."""
    logs = list(logs)
    best = best_trial(logs)
    row = {
        key: value
        for key, value in about.items()
        if key not in ("created_at", "finished_at", "gpus_per_trial", "spaces")
    }
    spent = [log.records[-1]["wall_s"] for log in logs if log.records]
    return row | {
        "created_at": moment(about.get("created_at")),
        "finished_at": moment(about.get("finished_at")),
        "best_trial_id": best and best.trial_id,
        "gpu_s": sum(spent) * float(about.get("gpus_per_trial") or 0.0),
    }
