"""A study as users open it in Python: its tables, and what can be said of them."""

from __future__ import annotations

import glob
import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from autogan_ray.base.errors import ResultsError
from autogan_ray.results.store import table_file
from autogan_ray.results.study_tables import StudyTables, list_studies

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from autogan_ray.results.analysis.intervals import Interval
    from autogan_ray.results.analysis.ranking import Savings
    from autogan_ray.results.analysis.verdict import Verdict


@dataclass(frozen=True)
class Study(StudyTables):
    """A study's tables as DataFrames, and the questions that studies are made for.

    Args:
        folder: of the study.
    """

    @property
    def best(self) -> pd.Series:
        """The row of ``trials`` with the best evaluation. Raises ResultsError while there is none."""
        best_id = self.about["best_trial_id"]
        trials = self.trials
        best = trials[trials["trial_id"] == best_id]
        if best.empty:  # also where best_id is null, which equals nothing
            raise ResultsError(f"study {str(self.folder)!r} has no best trial yet: none has a score")
        return best.iloc[0]

    def top(self, k: int = 3) -> pd.DataFrame:
        """Returns the ``k`` rows of ``trials`` with the best scores, best first; fewer where fewer have a score."""
        scored = self.trials.dropna(subset=["fid_best"])
        return scored.sort_values(["fid_best", "trial_id"]).head(k).reset_index(drop=True)

    def compare(self, by: str, at: str = "first_rung") -> pd.DataFrame:
        """Returns what the trials scored for each value of a setting, with intervals.

        See :func:`autogan_ray.results.analysis.settings.compare`.
        """
        from autogan_ray.results.analysis.settings import compare

        return compare(self, by, at)

    def importance(self, at: str = "first_rung") -> pd.DataFrame:
        """Returns how much of the scores' variance each swept setting explains, beside what chance would explain.

        See :func:`autogan_ray.results.analysis.importance.importance`.
        """
        from autogan_ray.results.analysis.importance import importance

        return importance(self, at)

    def operation_frequency(
        self, by: str = "decision", better: float = 1 / 3, at: str = "first_rung", undecided: bool = False
    ) -> pd.DataFrame:
        """Returns how often each choice stands in the better trials' genotypes, in the rest, and by chance.

        See :func:`autogan_ray.results.analysis.operations.operation_frequency`.
        """
        from autogan_ray.results.analysis.operations import operation_frequency

        return operation_frequency(self, better=better, at=at, by=by, undecided=undecided)

    def rank_correlation(self, score: str = "fid_best") -> Interval:
        """Returns Kendall's tau of a score while searching with the retrained one, with its interval.

        See :func:`autogan_ray.results.analysis.ranking.rank_correlation`.
        """
        from autogan_ray.results.analysis.ranking import rank_correlation

        return rank_correlation(self, score)

    def pareto(self, *columns: str) -> pd.DataFrame:
        """Returns the trials that none beats in all of these columns, such as ``"fid", "macs_g"``.

        See :func:`autogan_ray.results.analysis.ranking.pareto`.
        """
        from autogan_ray.results.analysis.ranking import pareto

        return pareto(self, *columns)

    def savings(self) -> Savings:
        """Returns what ASHA saved. See :func:`autogan_ray.results.analysis.ranking.savings`."""
        from autogan_ray.results.analysis.ranking import savings

        return savings(self)

    def verdict(self, against: str = "random", recipe: str | None = None) -> Verdict:
        """Returns whether the searched network is better than a baseline, as far as the retrainings tell.

        See :func:`autogan_ray.results.analysis.verdict.verdict`.
        """
        from autogan_ray.results.analysis.verdict import verdict

        return verdict(self, against, recipe)

    def plot_history(self, axes: Axes | None = None) -> Axes:
        """Draws each trial's score over its evaluations, on the axes or on those of a new figure; returns the axes.

        This and the other ``plot_`` functions draw the figures of the report
        (:mod:`autogan_ray.results.report.figures`).
        """
        return _figures().plot_history(self, axes)

    def plot_retrained(self, axes: Axes | None = None) -> Axes:
        """Draws the curves of retrainings, with bands over seeds."""
        return _figures().plot_retrained(self, axes)

    def plot_compare(self, by: str, at: str = "first_rung", axes: Axes | None = None) -> Axes:
        """Draws what :meth:`compare` returns."""
        return _figures().plot_compare(self, by, at, axes)

    def plot_importance(self, at: str = "first_rung", axes: Axes | None = None) -> Axes:
        """Draws what :meth:`importance` returns."""
        return _figures().plot_importance(self, at, axes)

    def plot_slices(self, *keys: str, at: str = "first_rung") -> Any:
        """Draws the score over each of some settings (none named: over all that were swept); returns the axes."""
        from autogan_ray.results.analysis.settings import swept

        return _figures().plot_slices(self, keys or swept(self), at)

    def plot_parallel(self, at: str = "first_rung", axes: Axes | None = None) -> Axes:
        """Draws each trial as a line through its settings to its score."""
        return _figures().plot_parallel(self, at, axes)

    def plot_operations(self, space: str, network: str = "g", axes: Axes | None = None) -> Axes:
        """Draws what :meth:`operation_frequency` returns by operation, for one network of a space."""
        return _figures().plot_operations(self, space, network, axes)

    def plot_entropy(self, axes: Axes | None = None) -> Axes:
        """Draws the entropy of all trials' decisions over their evaluations."""
        return _figures().plot_entropy(self, axes)

    def plot_rank_correlation(self, score: str = "fid_best", axes: Axes | None = None) -> Axes:
        """Draws the score while searching against the retrained score."""
        return _figures().plot_rank_correlation(self, score, axes)

    def plot_pareto(self, cost: str = "macs_g", axes: Axes | None = None) -> Axes:
        """Draws the best scores against a cost, and the front."""
        return _figures().plot_pareto(self, cost, axes)

    def snapshot(self) -> Study:
        """Returns the study as it is now: each table is read once, at its first use, also while the study goes on."""
        return _Snapshot(self.folder)


@dataclass(frozen=True)
class _Snapshot(Study):
    _kept: dict[str, pd.DataFrame] = field(default_factory=dict, compare=False, repr=False)

    def table(self, name: str) -> pd.DataFrame:
        if name not in self._kept:
            self._kept[name] = super().table(name)
        return self._kept[name]


def _figures() -> Any:
    """The figures' module, imported only where something is drawn: matplotlib takes a second."""
    return importlib.import_module("autogan_ray.results.report.figures")


def load_study(folder: str | Path) -> Study:
    """Opens a study by its folder, finished or running. Raises ResultsError where the folder holds no study."""
    study = Study(Path(folder))
    _ = study.studies
    return study


def load_studies(pattern: str | Path) -> dict[str, Study]:
    """Opens several studies, by the names of their folders in order; of equal names the whole path is taken.

    Args:
        pattern: with wildcards (``results/*``), or a folder of studies. Folders that hold no study are left out.

    Raises ResultsError where no study is there.
    """
    folder = Path(pattern)
    places = [Path(place) for place in sorted(glob.glob(str(pattern)))]
    found = [place for place in places if table_file(place, "studies").is_file()] or list_studies(folder)
    if not found:
        raise ResultsError(f"no study in {str(pattern)!r}: no folder there has a studies.parquet")
    names = [place.name for place in found]
    keys = [place.name if names.count(place.name) == 1 else str(place) for place in found]
    return {key: load_study(place) for key, place in zip(keys, found, strict=True)}
