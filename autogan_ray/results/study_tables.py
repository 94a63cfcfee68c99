"""The tables of a study: one DataFrame per table, read from the study's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from autogan_ray.base.errors import ResultsError, nearest
from autogan_ray.base.reading import parse_object
from autogan_ray.base.value import Value
from autogan_ray.config.score_and_cost import cost_in
from autogan_ray.config.study import StudyConfig
from autogan_ray.results.lock import is_held
from autogan_ray.results.paths import path_from_table
from autogan_ray.results.schemas import SINCE_SCHEMA_2, TABLES
from autogan_ray.results.store import BUILT_AGAIN, load_table, table_file

_SECTIONS = tuple(
    name
    for name, field in StudyConfig.model_fields.items()
    if name == "sweep" or (isinstance(field.annotation, type) and issubclass(field.annotation, Value))
)


@dataclass(frozen=True)
class StudyTables:
    """A study's tables as DataFrames, read anew at each access, so that a running study can be followed.

    Args:
        folder: of the study.
    """

    folder: Path

    def table(self, name: str) -> pd.DataFrame:
        """Returns the table of this name, ``trials`` of schema 1 with what settings are compared by.

        Raises ResultsError as :func:`read_table` does.
        """
        found = read_table(self.folder, name)
        if name == "trials" and len(found) and found["fid_first_rung"].isna().all():
            return self._compared(found)
        return found

    def _compared(self, trials: pd.DataFrame) -> pd.DataFrame:
        """Returns trials of which none has a score at the first rung, with those that the other tables know."""
        from autogan_ray.results.schema_1 import with_first_rung, with_swept_columns

        config, grace = self.about["config_json"], self.about["grace_evaluations"]
        if isinstance(config, str):
            trials = with_swept_columns(trials, configuration(config, f"study {str(self.folder)!r}").get("sweep", {}))
        if pd.notna(grace) and table_file(self.folder, "history").is_file():
            trials = with_first_rung(trials, self.history, int(grace))
        return trials

    @property
    def studies(self) -> pd.DataFrame:
        return self.table("studies")

    @property
    def trials(self) -> pd.DataFrame:
        return self.table("trials")

    @property
    def history(self) -> pd.DataFrame:
        return self.table("history")

    @property
    def decisions(self) -> pd.DataFrame:
        return self.table("decisions")

    @property
    def genotypes(self) -> pd.DataFrame:
        return self.table("genotypes")

    @property
    def evaluations(self) -> pd.DataFrame:
        return self.table("evaluations")

    @property
    def curves(self) -> pd.DataFrame:
        """Empty for a study of an earlier version, which kept none."""
        return self.table("curves")

    @property
    def name(self) -> str:
        return str(self.about["name"])

    @property
    def state(self) -> str:
        """The study's status; of one that says it runs, whether a process of this machine really runs it."""
        status = str(self.about["status"])
        return status + ", but no process here runs it" * (status == "running" and not is_held(self.folder))

    @property
    def config(self) -> dict[str, Any]:
        """The study's configuration as it was run. Raises ResultsError where none was recorded."""
        text = self.about["config_json"]
        if not isinstance(text, str):
            raise ResultsError(f"study {str(self.folder)!r} has no configuration in config_json")
        return configuration(text, f"study {str(self.folder)!r}")

    @property
    def second_objective(self) -> str | None:
        """The cost that is an objective beside the score, a column of ``trials``; None where there is none."""
        text = self.about["config_json"]
        return cost_in(configuration(text if isinstance(text, str) else None, f"study {str(self.folder)!r}"))

    def path(self, path: str) -> str:
        """Returns where a path of these tables leads: ``ag.load_generator(study.path(row["checkpoint_path"]))``.

        Raises ResultsError for a null, which stands where nothing was left.
        """
        if not isinstance(path, str):
            raise ResultsError(f"study {str(self.folder)!r}: no path is recorded there, but {path!r}")
        return path_from_table(self.folder, path)

    def integer(self, column: str) -> int:
        """Returns a whole number of the table ``studies`` that every study has, such as its ``max_evaluations``.

        Raises ResultsError where it is null, which nothing but damage makes it.
        """
        number = self.about[column]
        if pd.isna(number):
            raise ResultsError(f"{table_file(self.folder, 'studies')}: {column} is null; {BUILT_AGAIN}")
        return int(number)

    @property
    def about(self) -> pd.Series:
        """The study's own row of the table ``studies``. Raises ResultsError where the file has none."""
        studies = self.studies
        if studies.empty:
            raise ResultsError(f"{table_file(self.folder, 'studies')} has no row; {BUILT_AGAIN}")
        return studies.iloc[0]


def configuration(text: str | None, where: str) -> dict[str, Any]:
    """Returns the configuration that a cell ``config_json`` holds; nothing of a null.

    Raises ResultsError, naming ``where``, for a text that is none.
    """
    config = parse_object(text or "{}", f"{where} has no configuration in config_json", ResultsError)
    for name in _SECTIONS:
        if not isinstance(config.get(name, {}), dict):
            raise ResultsError(f"{where}, config_json: {name} = {config[name]!r} is no section with settings")
    return config


def read_table(folder: Path, name: str) -> pd.DataFrame:
    """Reads a table just as ``pd.read_parquet`` does, at one moment even while it is being replaced.

    Columns that a file of an older schema lacks are null, and tables that it lacks are empty.

    Raises ResultsError for an unknown table, a folder that is no study's, a damaged table, or one that a newer version
    wrote.
    """
    if not table_file(folder, "studies").is_file():
        hint = _hint(folder)
        raise ResultsError(f"{str(folder)!r} is not a study's folder: it has no studies.parquet{hint}")
    if name in SINCE_SCHEMA_2 and not table_file(folder, name).exists():
        return TABLES[name].schema.empty_table().to_pandas()
    return load_table(folder, name).to_pandas()


def _hint(folder: Path) -> str:
    """Names studies in the folder itself, beside it or in ``results`` there; empty where there are none."""
    parent = folder.absolute().parent
    for place in (folder, parent, parent / "results"):
        names = [study.name for study in list_studies(place)]
        if names:
            return f"; in {str(place)!r} there are studies, {nearest(folder.name, names)}"
    return ""


def list_studies(folder: Path, name: str = "*") -> list[Path]:
    """Returns the sub-folders (of that name) that hold a study, sorted; none where the folder is missing."""
    return sorted(file.parent for file in folder.glob(f"{name}/studies.parquet")) if folder.is_dir() else []
