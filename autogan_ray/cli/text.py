"""Numbers, times and tables as people read them in a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pandas as pd

    from autogan_ray.results.trial_log import TrialLogs


_NAMED = 8
"""Trials that a line names."""

# Control characters but for tab and line feed, and what turns the direction of writing or hides itself.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def printable(text: str) -> str:
    """Returns a text with escapes for what a terminal would obey: a log or a name may hold anything.

    >>> print(printable("t0001 \\x1b[2J"))
    t0001 \\x1b[2J
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def echo(text: str = "", err: bool = False, nl: bool = True) -> None:
    """Prints a text that may hold what stands in files: see :func:`printable`."""
    click.echo(printable(text), err=err, nl=nl)


def number(value: Any, form: str = ".4g") -> str:
    """A number in the given format; a dash for None and NaN."""
    return "-" if value is None or value != value else format(value, form)


def clock(seconds: float) -> str:
    """A duration as ``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration(seconds: float) -> str:
    """A duration to two digits or so, in the unit that suits it."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60)):
        if seconds < limit:
            return f"{seconds / size:.2g} {unit}" if seconds < 10 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds / 3600:.2g} h" if seconds < 36000 else f"{seconds / 3600:.0f} h"


def table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table whose columns are as wide as their longest entry."""
    cells = [list(titles), *([printable(str(cell)).replace("\n", "\\n") for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(titles))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def relaxation_label(config: Mapping[str, Any]) -> str:
    """A trial's relaxation; of a method that samples single paths, the method."""
    search = config.get("search", {})
    return search.get("relaxation") or (f"one path ({search['method']})" if "method" in search else "-")


def trial_table(trials: pd.DataFrame, metric: str, grace: int, cost: str | None = None) -> str:
    """All trials, best first, with their best evaluation, and whether its genotype is decided.

    Args:
        trials: the study's table of this name.
        grace: the evaluation of the first rung, at which all trials can be compared.
        cost: the column of the second objective, which is shown with a mark on the front; None where there is none.
    """
    from autogan_ray.results.study_tables import configuration

    rows = []
    for row in trials.sort_values(["fid_best", "trial_id"]).to_dict("records"):
        row = {name: None if value != value else value for name, value in row.items()}
        config, scored = configuration(row["config_json"], f"trial {row['trial_id']}"), row["fid_best"] is not None
        decided = {None: "-", True: "UNDECIDED", False: "decided"}[row["undecided"]]
        beside = [] if cost is None else [number(row[cost], ",.0f"), "front" if row["on_front"] else "-"]
        rows.append(
            (
                row["trial_id"],
                row["status"],
                row["space"] or "-",
                relaxation_label(config),
                number(row["fid_best"]),
                f"{number(row['fid_best_evaluation'], '.0f')}/{row['evaluations']}" if scored else "-",
                number(row["fid_first_rung"]),
                *beside,
                row["genotype_id"] or "-",
                decided,
            )
        )
    titles = ["trial", "status", "space", "relaxation", metric, "at/of", f"at {grace}"]
    titles += [] if cost is None else [cost, "front"]
    return table([*titles, "genotype", "decisions"], rows)


def failures(logs: TrialLogs) -> Iterator[str]:
    """Yields why trials diverged or failed, all trials of one reason in a line."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for log in logs:
        if log.fault is not None:
            reasons.setdefault((log.state, log.fault.partition("\n")[0]), []).append(log.trial_id)
    for (state, reason), trials in sorted(reasons.items()):
        word = "failed" if state == "error" else state
        named = ", ".join(trials[:_NAMED]) + (f", and {len(trials) - _NAMED} more" if len(trials) > _NAMED else "")
        yield f"{word}: {len(trials)} of {len(logs)} trials ({named}): {reason}"


def evaluation_table(rows: Sequence[dict[str, Any]], metric: str) -> str:
    """Retrained networks, best first."""
    ordered = sorted(rows, key=lambda row: float("inf") if row["fid"] is None else row["fid"])
    return table(
        ("network", "genotype", "seed", metric, "KID", "IS", "precision", "recall", "params", "kimg"),
        [
            (
                row["name"],
                row["genotype_id"],
                number(row["seed"], ".0f"),
                number(row["fid"]),
                number(row["kid_mean"], ".3g"),
                number(row["is_mean"], ".2f"),
                number(row["precision"], ".2f"),
                number(row["recall"], ".2f"),
                number(row["params_g"], ".0f"),
                number(row["kimg"]),
            )
            for row in ordered
        ],
    )
