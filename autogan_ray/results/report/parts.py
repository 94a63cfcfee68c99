"""What the parts of a report are made with: their source, and tables, code, figures and pictures as HTML."""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from autogan_ray.results.report.style import to_svg
from autogan_ray.results.schemas import INT, TABLES
from autogan_ray.results.study import Study
from autogan_ray.spaces.space import SearchSpace


@dataclass(frozen=True)
class Source:
    """What a report is made of: a study, and the spaces that it searched, by the names that its trials give them.

    Args:
        anchor: of the study in the page, by which ids of several studies differ.
        command: makes the text of a command from a verb and its arguments.
    """

    study: Study
    spaces: Mapping[str, SearchSpace]
    anchor: str = "study0"
    command: Callable[..., str] = field(default=lambda *words: shlex.join(["autogan-ray", *map(str, words)]))

    @property
    def about(self) -> pd.Series:
        return self.study.about

    @property
    def folder(self) -> Path:
        return self.study.folder

    @property
    def metric(self) -> str:
        return str(self.about["metric"])


@dataclass
class Section:
    """One part of the page.

    Args:
        key: its anchor.
        title: its heading.
        see: one sentence on what to see.
        source: one sentence on the tables and columns that it is made of.
        body: HTML.
        numbers: every number that it computed, by name.
    """

    key: str
    title: str
    see: str
    source: str
    body: list[Markup] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)


def number(value: Any, form: str = ".4g") -> str:
    """Returns a number as text, a dash for null and NaN."""
    return "–" if value is None or value != value else format(value, form)


_COUNTS = {column.name for table in TABLES.values() for column in table.columns if column.type == INT}


def table(frame: pd.DataFrame, kind: str = "") -> Markup:
    """Returns a table of text and numbers as HTML, which scrolls by itself where the page is too narrow."""
    for name in set(frame.columns) & _COUNTS:  # a null among them has made them fractions
        frame = frame.assign(**{name: [None if pd.isna(value) else int(value) for value in frame[name]]}).astype(
            {name: object}
        )
    head = "".join(f"<th>{escape(name)}</th>" for name in frame.columns)
    rows = "".join(
        "<tr>" + "".join(_cell(value) for value in row) + "</tr>" for row in frame.itertuples(index=False, name=None)
    )
    shown = f'<div class="wide"><table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    return Markup(shown)


def _cell(value: Any) -> str:
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float | int) and not isinstance(value, bool):
        text = number(value, ".4g") if isinstance(value, float) else f"{value:,}"
        return f'<td class="number" data-value="{value}">{text}</td>'
    return f"<td>{escape('–' if value is None or value is pd.NA else str(value))}</td>"


def paragraph(text: str, kind: str = "") -> Markup:
    return Markup(f'<p class="{kind}">') + escape(text) + Markup("</p>")


def code(text: str) -> Markup:
    return Markup("<pre><code>") + escape(text) + Markup("</code></pre>")


def figure(axes: Any, name: str, words: str) -> Markup:
    """Returns a figure of the page: an SVG with a caption, which says in words what is drawn."""
    svg = to_svg(axes.figure, name)
    return Markup(f'<figure class="plot">{svg}<figcaption>{escape(words)}</figcaption></figure>')


def picture(file: Path, words: str) -> Markup:
    """Returns a PNG of the study's folder, embedded."""
    data, text = base64.b64encode(file.read_bytes()).decode("ascii"), escape(words)
    image = f'<img alt="{text}" src="data:image/png;base64,{data}">'
    return Markup(f'<figure class="grid">{image}<figcaption>{text}</figcaption></figure>')


def anchor(source: Source, name: str) -> str:
    """Returns the id of a figure: what a study names itself may hold anything, and an id may not."""
    return f"{source.anchor}-{re.sub('[^A-Za-z0-9_-]+', '-', name)}"


def folded(title: str, body: Markup) -> Markup:
    return Markup(f"<details><summary>{escape(title)}</summary>") + body + Markup("</details>")


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns rows as JSON has them, null for NaN."""
    text = frame.to_json(orient="records", double_precision=15)
    return list(json.loads(text or "[]"))
