"""Tables and numbers of a report: in Markdown, and as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from autogan_ray.cli.text import number


def markdown_table(columns: Mapping[str, Iterable[object]]) -> str:
    """Returns a table of columns (title -> cells); all but the first are right-aligned."""
    rule = [":---", *["---:"] * (len(columns) - 1)]
    rows = zip(*(columns[title] for title in columns), strict=True)
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (columns, rule, *rows))


def with_sd(mean: float | None, sd: float | None, form: str = ".4g") -> str:
    """Writes a mean with its standard deviation, where there is one; a dash without a mean."""
    return number(mean, form) + ("" if pd.isna(sd) else f" ± {sd:.2g}")


def ends(low: float | None, high: float | None, form: str = ".3g") -> str:
    """Writes both ends of an interval; a dash where there is none."""
    return "-" if pd.isna(low) or pd.isna(high) else f"{low:{form}} to {high:{form}}"


def share(value: float | None) -> str:
    """Writes a part of 1 in per cent; a dash for None and NaN."""
    return number(value, ".0%")


def plain(value: Any) -> Any:
    """Returns a value for JSON: tables as rows, dataclasses as objects, numpy's numbers as Python's, NaN as null."""
    if isinstance(value, pd.DataFrame):
        return plain(value.to_dict("records"))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(vars(value))
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
