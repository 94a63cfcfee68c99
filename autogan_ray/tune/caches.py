"""The rungs of ASHA and Optuna's journal, held to the trials' logs, from which both follow.

They are written as things happen, and so may be a report ahead of the logs, or lack a last end. All else that does not
agree with the logs (a file that is gone, emptied, cut or altered) is built again by going through the logs' lines in
their order: a resumed study then decides what it would have decided.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from autogan_ray.base.errors import ResultsError
from autogan_ray.config.study import StudyConfig
from autogan_ray.results.trial_log import FINISHED, TrialLogs, name_of
from autogan_ray.tune.asha import ResumableASHA, Rungs, read_rungs, write_rungs
from autogan_ray.tune.optuna_search import OptunaSearch, told_of

Lines = Sequence[tuple[str, Mapping[str, Any]]]


def restore_caches(study: StudyConfig, journal: Path, rungs: Path, logs: TrialLogs) -> list[str]:
    """Builds again what does not agree with the logs; returns what was done and why, in words.

    Args:
        journal: Optuna's.
        rungs: the file of ASHA's rungs.
    """
    lines = logs.in_order()
    if not any(line["kind"] == "trial" for _, line in lines):
        return []
    done = restore_rungs(study, rungs, lines, logs) if study.tune.scheduler == "asha" else []
    there, problem = _is_there(journal), _restore_journal(study, journal, lines, logs)
    if problem is not None:
        done.append(_text(journal, problem if there else "it was gone or empty"))
    return done + _cut_logs(OptunaSearch(study, journal).trials, logs)


def _is_there(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0


def _text(file: Path, problem: str) -> str:
    return f"{file.name} is built again from the trials' logs: {problem}"


def _cut_logs(trials: Sequence[FrozenTrial], logs: TrialLogs) -> list[str]:
    """Names the logs that lack more evaluations than the one that Optuna may hear of first: their ends are lost."""
    done = []
    for trial in trials:
        name, told = name_of(trial.number), max(told_of(trial), default=0)
        last = max(logs.get(name).evaluations, default=0)
        if told > last + 1:
            done.append(f"{name}: its log ends at evaluation {last} of {told}; the trial goes on from there")
    return done


def restore_rungs(study: StudyConfig, file: Path, lines: Lines, logs: TrialLogs) -> list[str]:
    """Builds the rungs of an ASHA again where their file does not agree with the logs; returns why, in words.

    Args:
        lines: of the trials that the ASHA judges, in their order.
    """
    replayed = ResumableASHA(study, None)
    replayed.replay(lines)
    expected, there = replayed.rungs, _is_there(file)
    try:
        problem = _difference_of_rungs(read_rungs(file), expected, _known(logs))
    except ResultsError:
        problem = "it is damaged"
    if problem is None:
        return []
    write_rungs(file, expected)
    return [_text(file, problem if there else "it was gone or empty")]


def _known(logs: TrialLogs) -> dict[str, float]:
    """Trial -> its last evaluation that others can have been told of: of a trial that goes on it may be one more."""
    return {log.trial_id: float("inf") if log.state in FINISHED and not log.faults else log.reached for log in logs}


def _difference_of_rungs(kept: Rungs, expected: Rungs, known: Mapping[str, float]) -> str | None:
    """What in the rungs does not agree with the logs, in words."""
    ours, theirs = (
        {(rung, name): reward for rung, trials in rungs.entered.items() for name, reward in trials.items()}
        for rungs in (expected, kept)
    )
    for (rung, name), reward in ours.items():
        if theirs.get((rung, name)) != reward:
            return f"{name} is not in it as it was scored at evaluation {rung:g}"
    last = max(expected.entered, default=0)
    for rung, name in theirs.keys() - ours.keys():
        if rung <= min(known.get(name, 0), last):
            return f"{name} stands in it at evaluation {rung:g}, and was not scored there"
    for name in expected.stopped.keys() | kept.stopped.keys():
        one, other = expected.stopped.get(name), kept.stopped.get(name)
        if one != other and (other is None or known.get(name, 0) >= other):
            return f"{name} was {'not ' if one is None else ''}stopped early"
    return None


def _restore_journal(study: StudyConfig, file: Path, lines: Lines, logs: TrialLogs) -> str | None:
    """Writes the journal anew where it does not agree with the logs; returns the difference, or None."""
    replayed = OptunaSearch(study, None)
    replayed.replay(lines)
    told = {int(name[1:]) for name, line in lines if line["kind"] == "trial"}
    expected = {number: replayed.trials[number] for number in told}
    try:
        kept = OptunaSearch(study, file).trials if _is_there(file) else []
        problem = _difference_of_trials(kept, expected, logs)
    except Exception as error:  # whatever is in the file: Optuna has no error of its own for it
        problem = f"it is damaged ({type(error).__name__}: {str(error)[:200]})"
    if problem is not None:
        new = file.with_name(f"{file.name}.new")
        new.unlink(missing_ok=True)
        OptunaSearch(study, new).replay(lines)
        os.replace(new, file)
    return problem


def _difference_of_trials(
    kept: Sequence[FrozenTrial], expected: Mapping[int, FrozenTrial], logs: TrialLogs
) -> str | None:
    """What in Optuna's trials does not agree with the logs, in words."""
    for number, ours in expected.items():
        name = name_of(number)
        if number >= len(kept):
            return f"{name} is not in it"
        theirs = kept[number]
        if (theirs.params, theirs.distributions) != (ours.params, ours.distributions):
            return f"{name} is not in it with the settings that it has"
        told, kept_of = told_of(ours), told_of(theirs)
        last = max(told, default=0)
        for step, value in told.items():
            if kept_of.get(step, value if step == last else None) != value:
                return f"{name} is not in it as it was scored at evaluation {step}"
        ahead = [step for step in kept_of if step not in told]
        ended = logs.get(name).state in FINISHED
        if any(ended or step <= last for step in ahead):
            return f"{name} has evaluations in it that it has not"
        if ended and theirs.state.is_finished() and theirs.state != ours.state:
            return f"{name} ended in it as {theirs.state.name.lower()}"
        if theirs.state == ours.state == TrialState.COMPLETE and theirs.values != ours.values:
            return f"{name} has another best score in it"
    return None
