"""Damaged trial logs, made whole before a study goes on.

What a log has lost is taken from the trial's checkpoints, which hold its settings and all its records. A trial whose
log cannot be completed so counts as unfinished: it goes on from its last checkpoint, or begins anew, and comes to the
same evaluations. What ASHA decided about it stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autogan_ray.base.errors import ResultsError
from autogan_ray.base.reading import reason
from autogan_ray.results.paths import path_for_table
from autogan_ray.results.rows import decision_rows, genotype_rows, history_rows, sightings, trial_rows
from autogan_ray.results.store import arrow_rows
from autogan_ray.results.trial_log import FINISHED, FOLDER, TrialLog, TrialLogs, lines_of
from autogan_ray.tune.resume import checkpoints_of, checkpoints_there, state_of, trials_with_checkpoints

Line = dict[str, Any]


def mend_logs(logs: TrialLogs, folder: Path, experiment: str, planned: int) -> list[str]:
    """Mends all damaged logs of a study; returns what was found and what was done about it, in words.

    Args:
        folder: of the study.
        experiment: path or URI of the folder that holds Ray's folders of the trials.
        planned: number of evaluations of a complete trial.
    """
    there = {name for name in trials_with_checkpoints(experiment) if re.fullmatch(r"t\d{4,}", name, re.ASCII)}
    known = {log.trial_id for log in logs}
    done = [_mend(logs, logs.get(name), ["its log is gone"], folder, experiment, planned) for name in there - known]
    for log in list(logs):
        faults = log.faults
        if not faults and not log.about and log.trial_id in there:
            faults = ["its log is empty"]
        if log.state == "complete" and not faults and len(log.evaluations) < planned:
            faults = [f"{planned - len(log.evaluations)} of {planned} evaluations are lost"]
        if not faults and not log.checked and (fault := _unusable(logs.whole(log.trial_id), folder)):
            log, faults = TrialLog(log.trial_id), [fault]
        if faults:
            done.append(_mend(logs, log, faults, folder, experiment, planned))
    return sorted(done)


def _unusable(log: TrialLog, folder: Path) -> str | None:
    """Returns why the lines of a log, of which no checksum says that they are whole, make no rows of tables."""
    if not log.about:
        return None
    try:
        tables = {
            "history": history_rows("", [log]),
            "decisions": decision_rows("", [log]),
            "genotypes": genotype_rows("", [log], sightings([log]), {}),
            "trials": trial_rows({"study_id": "", "grace_evaluations": 1, "max_evaluations": 1}, [log], folder, {}),
        }
        for name, rows in tables.items():
            arrow_rows(name, rows)
    except Exception as error:
        return f"what its log holds is no trial ({reason(error)})"
    return None


def _mend(logs: TrialLogs, log: TrialLog, faults: Sequence[str], folder: Path, experiment: str, planned: int) -> str:
    """Writes a log anew, with what checkpoints hold of it; returns what was found and done, in words."""
    name, was, doubtful = log.trial_id, log.state, bool(log.damage)
    sources = list(dict.fromkeys([*checkpoints_there(name, experiment), *checkpoints_of(log, folder, experiment)]))
    state, taken = _fullest(sources), []
    lines = lines_of(folder, name).records if log.last_line else []
    if state is not None and not log.about and state.get("config", "{}") != "{}":
        begin = {"kind": "trial", "number": log.number, "config": json.loads(state["config"])}
        lines = [begin | _order_at(lines, 0), *lines]
        taken.append("its settings")
    if state is not None and was in FINISHED:
        end = log.status.get("evaluations", planned)
        for record in json.loads(state["records"]):
            if record["evaluation"] not in log.evaluations and record["evaluation"] <= end:
                lines = _with(lines, record)
                taken.append(f"evaluation {record['evaluation']}")
    mended = TrialLog(name)
    for line in lines:
        mended.apply(line)
    whole = was in FINISHED and _is_whole(mended, planned, doubtful)
    log = logs.replace(name, lines if whole else _begun(lines, mended))
    logged = log.status.get("checkpoint_path")
    if sources and not (logged and Path(folder, logged).exists()):
        logs.add(name, "status", checkpoint_path=path_for_table(folder, sources[0]))
    if whole:
        what = "nothing else is lost" if taken else "nothing that counts is lost"
    else:
        what = "it is run again" if was in FINISHED else "it goes on"
        what += " from its last checkpoint" if sources and log.about else " from its beginning"
    kept = f" (the log as it was: {FOLDER}/{name}.damaged)" if (folder / FOLDER / f"{name}.damaged").exists() else ""
    from_checkpoint = f"{', '.join(taken)} taken from its checkpoint; " if taken else ""
    return f"{name}: {'; '.join(faults)}; {from_checkpoint}{what}{kept}"


def _begun(lines: Sequence[Line], log: TrialLog) -> list[Line]:
    """The lines of a log as if its trial had come to the first evaluation that is lost."""
    kept: list[Line] = []
    for line in lines:
        if line.get("status") in FINISHED:
            # What ASHA decided is told on, for the case that its rungs are lost too.
            was_stopped = line["status"] == "pruned" and "evaluations" in line
            stopped = {"stopped_at": line["evaluations"]} if was_stopped else {}
            kept.append(line | {"status": "interrupted"} | stopped)
        elif line["kind"] != "evaluation" or line["record"]["evaluation"] <= log.reached:
            kept.append(line)
    return kept


def _is_whole(log: TrialLog, planned: int, doubtful: bool) -> bool:
    """Whether a finished trial's log has all of its evaluations.

    Args:
        doubtful: whether lines were lost of which nobody knows what they held.
    """
    if log.shortfall or not log.about or not log.records:
        return False
    if log.state == "complete":
        return len(log.records) >= planned
    # Earlier versions did not write down how many evaluations a trial had that was stopped early.
    return log.records[-1]["diverged"] or "evaluations" in log.status or not doubtful


def _fullest(sources: Sequence[str]) -> dict[str, Any] | None:
    """The state of the checkpoint that holds most records; None where no checkpoint is whole."""
    states = []
    for source in sources:
        try:
            states.append(state_of(source, {"records"}))
        except (ResultsError, OSError):  # another may be whole; else the trial is run again
            continue
    return max(states, key=lambda state: len(state["records"]), default=None)


def _with(lines: Sequence[Line], record: Mapping[str, Any]) -> list[Line]:
    """The lines of a log with the line of an evaluation where it was: before later ones, and before the trial's end."""
    number = record["evaluation"]
    place = next((index for index, line in enumerate(lines) if _is_after(line, number)), len(lines))
    line = {"kind": "evaluation", "record": record} | _order_at(lines, place)
    return [*lines[:place], line, *lines[place:]]


def _is_after(line: Mapping[str, Any], number: int) -> bool:
    if line["kind"] == "evaluation":
        return bool(line["record"]["evaluation"] > number)
    return line.get("status") in FINISHED


def _order_at(lines: Sequence[Line], place: int) -> dict[str, float]:
    """The order of a line between two others; empty where it is known of neither."""
    beside = [line["order"] for line in lines[max(0, place - 1) : place + 1] if "order" in line]
    if place == 0 and beside:
        beside.append(beside[0] - 1)
    return {"order": sum(beside) / len(beside)} if beside else {}
