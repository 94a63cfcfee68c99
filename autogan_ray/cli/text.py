"""What people read: headers, event lines, tables and summaries, as strings. Only the command line prints them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autogan_ray.metrics.extractors.registry import metric_label
from autogan_ray.results.decidedness import decidedness
from autogan_ray.results.rows import best_trial
from autogan_ray.results.trial_log import ENDED, TrialLog

if TYPE_CHECKING:
    from autogan_ray.study.plan import Plan


def header(plan: Plan, dashboard: str | None) -> str:
    """What is about to run, where, on what."""
    study, tune = plan.study, plan.study.tune
    share = f", {tune.gpus_per_trial:g} GPU each" if plan.gpus else ", CPU only"
    lines = [
        f"study      {study.name}: {tune.num_trials} trials of up to {tune.max_evaluations} evaluations, "
        f"{study.search.kimg:g} kimg each",
        f"spaces     {', '.join(plan.spaces)}",
        f"data       {study.data.source}",
        f"metric     {metric_label(study.metrics.extractor)}, {study.metrics.n_fake_search} fakes an evaluation, "
        f"of the {study.metrics.rank_by} network",
        f"resources  {plan.gpus} GPUs, {plan.slots} trials side by side{share}",
        f"folder     {plan.folder}",
    ]
    if dashboard:
        lines.append(f"dashboard  http://{dashboard}   (its token: ray get-auth-token)")
    return "\n".join(lines)


class Progress:
    """Turns the recorder's events into lines; picklable, as Ray keeps a copy for resuming.

    Args:
        planned: number of trials; slots: side by side; evaluations: of a whole trial.
    """

    def __init__(self, planned: int, slots: int, metric: str) -> None:
        self._planned, self._slots, self._metric = planned, slots, metric
        self._start = time.time()

    def line(self, event: dict[str, Any]) -> str:
        log: TrialLog = event["trial"]
        logs = list(event["logs"])
        best = best_trial(logs)
        so_far = f"best {best.best['fid']:.4g} ({best.trial_id})" if best and best.best else "no score yet"
        lead = f"[{clock(time.time() - self._start)}] {log.trial_id}"
        if event["kind"] == "end":
            done = sum(one.state in ENDED for one in logs)
            return f"{lead} {event['status']:<10} {done}/{self._planned} trials done, {so_far}{self._eta(logs)}"
        record, config = event["record"], log.about["config"]
        return (
            f"{lead} evaluation {record['evaluation']}: {self._metric} {record['fid']:.4g} "
            f"(supernet {number(record['fid_supernet'])})  {config['space']} {relaxation_label(config)} "
            f"entropy {number(record['entropy_g'], '.2f')}/{number(record['entropy_d'], '.2f')}  {so_far}"
        )

    def _eta(self, logs: Sequence[TrialLog]) -> str:
        ended = [log.records[-1]["wall_s"] for log in logs if log.state in ENDED and log.records]
        left = self._planned - sum(log.state in ENDED for log in logs)
        if not ended or left <= 0:
            return ""
        return f", about {clock(left * sum(ended) / len(ended) / self._slots)} left"


def relaxation_label(config: Mapping[str, Any]) -> str:
    """A trial's relaxation, or how a method works that has none."""
    search = config.get("search", {})
    return search.get("relaxation") or (f"one path ({search['method']})" if "method" in search else "-")


def clock(seconds: float) -> str:
    """``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number(value: Any, form: str = ".4g") -> str:
    """A number, or a dash for none."""
    return "-" if value is None or value != value else format(value, form)


def table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Columns as wide as they must be; numbers are right-aligned by their text."""
    cells = [list(titles), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(titles))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def trial_table(logs: Iterable[TrialLog], metric: str) -> str:
    """All trials, best first, each with its best evaluation; those whose genotype there is undecided are marked."""
    rows = []
    for log in sorted(logs, key=lambda one: (one.best["fid"] if one.best else float("inf"), one.trial_id)):
        best, config = log.best, log.about.get("config", {})
        shown = best or (log.records[-1] if log.records else None)
        rows.append(
            (
                log.trial_id,
                log.state,
                config.get("space", "-"),
                relaxation_label(config),
                number(best and best["fid"]),
                f"{best['evaluation']}/{len(log.records)}" if best else "-",
                best["genotype_id"] if best else "-",
                str(decidedness(shown["decisions"])).partition(" (")[0] if shown else "-",
            )
        )
    return table(("trial", "status", "space", "relaxation", metric, "at/of", "genotype", "decisions"), rows)


def evaluation_table(rows: Sequence[dict[str, Any]], metric: str) -> str:
    """Retrained networks, best first."""
    ordered = sorted(rows, key=lambda row: float("inf") if row["fid"] is None else row["fid"])
    return table(
        ("network", "genotype", "seed", metric, "KID", "IS", "precision", "recall", "params", "kimg"),
        [
            (
                row["name"],
                row["genotype_id"],
                row["seed"],
                number(row["fid"]),
                number(row["kid_mean"], ".3g"),
                number(row["is_mean"], ".2f"),
                number(row["precision"], ".2f"),
                number(row["recall"], ".2f"),
                row["params_g"],
                number(row["kimg"]),
            )
            for row in ordered
        ],
    )
