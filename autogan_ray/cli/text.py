"""Numbers, times and tables as people read them in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autogan_ray.results.trial_log import TrialLog


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
    cells = [list(titles), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(titles))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def relaxation_label(config: Mapping[str, Any]) -> str:
    """A trial's relaxation; of a method that samples single paths, the method."""
    search = config.get("search", {})
    return search.get("relaxation") or (f"one path ({search['method']})" if "method" in search else "-")


def trial_table(logs: Iterable[TrialLog], metric: str, grace: int) -> str:
    """All trials, best first, with their best evaluation, and whether its genotype is decided.

    Args:
        grace: the evaluation of the first rung, at which all trials can be compared.
    """
    from autogan_ray.results.decidedness import decidedness

    rows = []
    for log in sorted(logs, key=lambda log: (log.best["fid"] if log.best else float("inf"), log.trial_id)):
        best, config = log.best, log.about.get("config", {})
        shown, first = best or (log.records[-1] if log.records else None), log.scored_at(grace)
        rows.append(
            (
                log.trial_id,
                log.state,
                config.get("space", "-"),
                relaxation_label(config),
                number(best and best["fid"]),
                f"{best['evaluation']}/{len(log.records)}" if best else "-",
                number(first and first["fid"]),
                best["genotype_id"] if best else "-",
                str(decidedness(shown["decisions"])).partition(" (")[0] if shown else "-",
            )
        )
    titles = ("trial", "status", "space", "relaxation", metric, "at/of", f"at {grace}", "genotype", "decisions")
    return table(titles, rows)


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
