"""The parts of a report on the course of a study: what it cost, what failed, each trial, and how it is run again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext, suppress

import pandas as pd
from markupsafe import Markup

from autogan_ray.base.errors import ResultsError
from autogan_ray.base.reading import parse_object
from autogan_ray.results.analysis import ranking, settings
from autogan_ray.results.report.parts import Section, Source, code, folded, number, paragraph, table
from autogan_ray.results.symptoms import kind_of, symptoms
from autogan_ray.results.trial_log import TrialLogs


def effort_part(source: Source) -> Section:
    section = Section(
        "effort",
        "What it cost, and what ASHA saved",
        "Evaluations that were spared are time that poor trials did not take.",
        "trials: evaluations, planned_evaluations, status, wall_s, gpu_s, restarts, error_type; trials/*.jsonl.",
    )
    saved, trials = ranking.savings(source.study), source.study.trials
    section.numbers |= saved._asdict() | {"share": saved.share, "restarts": int(trials["restarts"].sum())}
    words = f"ASHA stopped {saved.pruned} of {saved.trials} trials: {saved.run} evaluations instead of {saved.planned}"
    words += (
        f" ({number(saved.share, '.0%')} spared). The trials took {number(saved.hours, '.2g')} hours together; what "
    )
    words += f"was spared would have taken about {number(saved.hours_saved, '.2g')} more."
    counts = trials["status"].value_counts()
    lost = [f"{counts[status]} {status}" for status in ("diverged", "error", "interrupted") if status in counts]
    words += f" {', '.join(lost)}." if lost else " None diverged or failed."
    gpu = f" {saved.gpu_hours:.2g} GPU-hours in all." if saved.gpu_hours else " No GPU was used."
    restarts = f" Restarts of trials: {section.numbers['restarts']}."
    section.body.append(paragraph(words + gpu + restarts))
    failed = trials[trials["error_type"].notna()]
    failed = failed.assign(line=[str(text).partition("\n")[0] for text in failed["error_message"]])
    for (kind, message), group in failed.groupby(["error_type", "line"]):
        section.body.append(paragraph(f"Failed: {', '.join(group['trial_id'])}: {kind}: {message}", "warning"))
    section.body += [paragraph(line, "warning") for line in _symptoms(source)]
    return section


def _symptoms(source: Source) -> Iterator[str]:
    """Yields what ails the trials, each symptom once with the trials that show it."""
    told: dict[str, list[str]] = {}
    logs = TrialLogs(source.folder)
    for log in map(logs.whole, [log.trial_id for log in logs]):
        config, found = log.about.get("config", {}), list[str]()
        with nullcontext() if log.checked else suppress(Exception):  # no checksum says what an earlier version wrote
            space = source.spaces.get(config.get("space"))
            if log.records and space is not None:
                found = symptoms(log.records, source.study.integer("max_evaluations"), space, config)
        for line in found:
            told.setdefault(kind_of(line), []).append(f"{log.trial_id}: {line}")
    for lines in told.values():
        names = ", ".join(line.partition(":")[0] for line in lines[1:6])
        more = f", and {len(lines) - 6} more" if len(lines) > 6 else ""
        yield lines[0] + (f" (likewise {names}{more})" if len(lines) > 1 else "")


def trials_part(source: Source) -> Section:
    section = Section(
        "trials",
        "All trials",
        "Click a column's title to sort by it; type to filter.",
        "trials, the column named in each title.",
    )
    trials, keys = source.study.trials, settings.swept(source.study)
    names = ["trial_id", "status", "evaluations", "fid_best", "fid_first_rung"]
    costs = ["entropy_g_last", "params_g", "macs_g", "wall_s", "gpu_s", "restarts"]
    shown = trials[list(dict.fromkeys([*names, "undecided", "space", *keys, *costs]))].sort_values("fid_best")
    section.body.append(Markup('<input class="filter" type="search" placeholder="filter" aria-label="filter trials">'))
    section.body.append(table(shown.astype(object).where(shown.notna(), None), "sortable"))
    return section


def configuration_part(source: Source) -> Section:
    section = Section(
        "configuration",
        "Configuration and versions",
        "All that is needed to run the study again.",
        "studies: command, config_json, packages_json, git_commit, dataset_digest, extractor_digest.",
    )
    about = source.about
    section.body.append(code(str(about["command"])))
    names = ("study_id", "created_at", "finished_at", "data_read", "dataset_digest", "extractor", "extractor_digest")
    more = ("searcher", "scheduler", "seed", "gpus", "gpu_name", "git_commit")
    rows = [(name, str(about[name]) if pd.notna(about[name]) else None) for name in (*names, *more)]
    section.body.append(table(pd.DataFrame(rows, columns=["column", "value"])))
    section.body.append(folded("resolved configuration", code(json.dumps(source.study.config, indent=2))))
    text = about["packages_json"] if isinstance(about["packages_json"], str) else "{}"
    packages = parse_object(text, "table studies, packages_json", ResultsError)
    section.body.append(folded("versions", code(json.dumps(packages, indent=2))))
    return section
