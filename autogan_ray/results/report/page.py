"""The report: one HTML page of one or several studies that needs no network, in light and dark, on phones and paper."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from markupsafe import Markup

from autogan_ray.base.errors import ResultsError
from autogan_ray.results.analysis.intervals import geometric_mean
from autogan_ray.results.analysis.verdict import baselines, verdict
from autogan_ray.results.report.parts import Source, table
from autogan_ray.results.report.sections import sections

PAGE = "page.html.j2"


def render(sources: Sequence[Source], title: str) -> str:
    """Returns the page of some studies, each with all of its parts, and where there are several, all side by side."""
    from jinja2 import Environment, PackageLoader

    loader = PackageLoader("autogan_ray.results.report", "templates")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    studies, numbers = [], {}
    sources = [
        replace(source, study=source.study.snapshot(), anchor=f"study{index}") for index, source in enumerate(sources)
    ]
    for source in sources:
        parts = list(sections(source))
        about = source.about
        name = source.study.name if _names(sources).count(source.study.name) == 1 else str(source.folder)
        studies.append(
            {
                "anchor": source.anchor,
                "name": name,
                "state": source.study.state,
                "metric": source.metric,
                "folder": str(source.folder),
                "data": about["data_read"] if pd.notna(about["data_read"]) else about["dataset"],
                "trials": len(source.study.trials),
                "sections": parts,
            }
        )
        numbers[str(source.folder)] = {part.key: part.numbers for part in parts}
    template = environment.get_template(PAGE)
    overview = table(side_by_side(sources)) if len(sources) > 1 else None
    figures = Markup(json.dumps(_plain(numbers)).replace("<", "\\u003c"))
    return str(template.render(title=title, studies=studies, overview=overview, numbers=figures))


def _names(sources: Sequence[Source]) -> list[str]:
    return [source.study.name for source in sources]


def side_by_side(sources: Sequence[Source]) -> pd.DataFrame:
    """Returns a row a study: trials, metric, scores at the first rung and best, and the verdict against random.

    Scores of studies with different data or extractors cannot be compared; the columns ``data`` and ``metric`` tell.
    """
    rows = []
    for source in sources:
        trials, about = source.study.trials, source.about
        rung = geometric_mean(trials["fid_first_rung"].tolist())
        rows.append(
            {
                **{"study": str(source.folder), "state": source.study.state, "trials": len(trials)},
                **{"data": str(about["dataset"]), "metric": source.metric, "first rung (mean)": rung.estimate},
                **{"best": float(trials["fid_best"].min()) if len(trials) else math.nan},
                "against random": _word(source),
            }
        )
    return pd.DataFrame(rows)


def _word(source: Source) -> str:
    if "random" not in baselines(source.study):
        return "not retrained"
    try:
        found = verdict(source.study, "random")
    except ResultsError:
        return "not retrained"
    return f"{found.word} (ratio {found.ratio:.2f}, {found.seeds} seeds, {found.n_against} random)"


def _plain(value: Any) -> Any:
    """Returns values as JSON has them: numbers of Python, null for NaN."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
