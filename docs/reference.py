"""Writes ``tables.md`` and ``settings.md``: every column and every setting, from the code that defines them.

    $ python docs/reference.py

A test compares both pages with what this script makes of the code, so they cannot be behind it.
"""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from autogan_ray.base.value import Value
from autogan_ray.config.study import StudyConfig
from autogan_ray.results.schemas import SCHEMA_VERSION, TABLES

HERE = Path(__file__).parent
MADE = "<!-- made by docs/reference.py -->\n"


def tables_page() -> str:
    """Returns the page of all result tables, column by column."""
    lines = [
        MADE,
        "# The result tables, column by column\n",
        f"Schema {SCHEMA_VERSION}. `results/NAME/TABLE.parquet`; the first columns are the key of a row, never null. "
        "Each column's note stands in the file's metadata too. `trials` has a further column for each setting that "
        "the study sweeps, named by its key (`optim.lr_arch_g`), null in trials in which the setting plays no part.\n",
    ]
    for table in TABLES.values():
        lines += [f"## `{table.name}`: {table.description}\n", "| column | type | note |", "|---|---|---|"]
        for column in table.columns:
            name = f"**`{column.name}`**" if column.name in table.key else f"`{column.name}`"
            lines.append(f"| {name} | {column.type} | {_cell(column.note)} |")
        lines.append("")
    return "\n".join(lines)


def settings_page() -> str:
    """Returns the page of all settings of a study file, section by section."""
    lines = [
        MADE,
        "# Study files, setting by setting\n",
        "A study is a TOML file: the settings of a trial, of the data, of the metric, of the study's course and of "
        "retraining. Shipped ones are in `studies/`. Every setting can be given on the command line: "
        "`--set search.kimg=64`. What a trial has may be swept instead:\n",
        '```toml\n[sweep]\nspace = { choice = ["autogan", "adversarialnas"] }\n'
        '"optim.lr_arch_g" = { loguniform = [1e-3, 1e-1] }\n'
        '"search.temperature_start" = { uniform = [1.0, 5.0], when = { "search.relaxation" = ["gumbel"] } }\n```\n',
        "`autogan-ray run STUDY --dry-run --json` prints all of a study's settings with their values.\n",
    ]
    sections = {name: field for name, field in StudyConfig.model_fields.items() if _is_section(field)}
    single = {name: field for name, field in StudyConfig.model_fields.items() if name not in sections}
    lines += ["## Before the first section\n", *_rows(StudyConfig, single)]
    for name, field in sections.items():
        model = field.annotation
        assert isinstance(model, type) and issubclass(model, Value)
        lines += [f"## `[{name}]`\n", *_rows(model, model.model_fields)]
    return "\n".join(lines)


def _is_section(field: Any) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, Value)


def _rows(model: type[Value], fields: Any) -> list[str]:
    notes = _notes(model)
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, field in fields.items():
        rows.append(f"| `{field.alias or name}` | {_default(field)} | {_cell(notes.get(name, ''))} |")
    return [*rows, ""]


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "to be given"
    return "none" if value is None else f"`{json.dumps(value)}`"


def _notes(model: type) -> dict[str, str]:
    """Returns field -> the text below it in the source of its class; those of base classes too."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if not issubclass(base, Value) or base is Value:
            continue
        body = ast.parse(inspect.getsource(base)).body[0]
        assert isinstance(body, ast.ClassDef)
        last = ""
        for node in body.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                last = node.target.id
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and last:
                found[last] = inspect.cleandoc(str(node.value.value))
    return found


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


def main() -> None:
    for name, page in (("tables.md", tables_page()), ("settings.md", settings_page())):
        (HERE / name).write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
