"""A null in a table where every study has a value: the user reads what is wrong, or what does not need it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from autogan_ray.cli.main import main
from autogan_ray.results.schemas import TABLES
from tests.results.made_studies import made_study

COLUMNS = [field.name for field in TABLES["studies"].schema if field.nullable]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_study(tmp_path_factory.mktemp("nulls") / "made", trials=6).folder


@pytest.mark.parametrize("column", COLUMNS)
def test_a_null_in_a_studys_row_is_no_traceback(folder: Path, column: str) -> None:
    for words in (["show", str(folder)], ["compare", str(folder)], ["simulate", str(folder)]):
        invoked(folder, column, *words)


@pytest.mark.parametrize("column", ["max_evaluations", "grace_evaluations"])
def test_a_null_that_a_page_cannot_do_without_is_named(folder: Path, column: str, tmp_path: Path) -> None:
    code, output = invoked(folder, column, "report", str(folder), "--out", str(tmp_path / "page.html"))
    assert code == 2 and f"studies.parquet: {column} is null; the study's command with --resume builds it" in output


def invoked(folder: Path, column: str, *words: str) -> tuple[int, str]:
    """What a command answers while that column of the study's one row is null."""
    file = folder / "studies.parquet"
    whole, table = file.read_bytes(), pq.read_table(file)
    place = table.schema.get_field_index(column)
    field = table.schema.field(place)
    try:
        pq.write_table(table.set_column(place, field, pa.nulls(len(table), field.type)), file)
        result = CliRunner().invoke(main, list(words))
    finally:
        file.write_bytes(whole)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.exit_code, result.output
