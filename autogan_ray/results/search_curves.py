"""The scores of trials over their evaluations, read from the tables ``history`` of studies, to be replayed.

The table ``curves`` is another thing: it holds the scores on the way of retrainings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autogan_ray.base.errors import ResultsError, nearest
from autogan_ray.metrics.diverged import DIVERGED_FID
from autogan_ray.results.store import load_file
from autogan_ray.results.study import load_study
from autogan_ray.results.study_tables import configuration, read_table

_USUAL_SLOTS = 2
_PROTOCOL = ("metric", "extractor_digest", "dataset_digest", "n_real", "n_fake_search")
"""Columns of ``studies`` on which scores depend: they must agree where curves of several studies are pooled."""
_UNLIKE_KIMG = 0.1
"""Trials are trained alike up to an evaluation if their kimg there differ by no more than this share. Evaluations fall
on whole steps, so that trials of one length and several batch sizes differ a little."""


@dataclass(frozen=True, eq=False)
class SearchCurve:
    """The scores of one trial, as its scheduler saw them.

    Args:
        study_id, trial_id: which trial it is.
        fids: [evaluations] float64, the score at each evaluation from the first; lower is better. NaN where the trial
            diverged, which ends it: only the last can be NaN.
        pace: seconds that an evaluation took the trial, above 0; in any other unit where it is that of all curves.
    """

    trial_id: str
    fids: np.ndarray
    pace: float = 1.0
    study_id: str = ""

    @property
    def diverged(self) -> bool:
        return bool(np.isnan(self.fids[-1]))

    def until(self, last: int) -> SearchCurve:
        """Returns the curve of the trial had it ended at evaluation ``last``."""
        return replace(self, fids=self.fids[:last])

    def is_cut(self, last: int) -> bool:
        """Returns whether the trial ended before evaluation ``last`` without having diverged: ASHA or a signal cut it,
        and its further scores are unknown."""
        return len(self.fids) < last and not self.diverged


@dataclass(frozen=True, eq=False)
class Recording:
    """The curves of one table ``history``, and what its study says of itself.

    Args:
        file: the table.
        curves: one of each trial that was evaluated, in the order of their ids.
        kimg: of each curve, [evaluations] float64, thousands of real images that the trial was shown until then; NaN
            where it is unknown.
        study: the row of the table ``studies`` beside it; empty where there is none.
    """

    file: Path
    curves: Sequence[SearchCurve]
    kimg: Sequence[np.ndarray]
    study: pd.Series

    @property
    def max_evaluations(self) -> int:
        """Evaluations of a trial that runs to its end; of the longest trial where no study says it."""
        longest = max(len(curve.fids) for curve in self.curves)
        return int(self._own("max_evaluations") or longest)

    @property
    def command(self) -> str | None:
        """The command that made the study, as it was typed; None where it was not recorded."""
        return self._own("command")

    @property
    def name(self) -> str:
        """Of the study; where no study says it, that of the folder."""
        return str(self._own("name") or self.file.absolute().parent.name)

    @property
    def asha(self) -> tuple[int, float] | None:
        """Grace in evaluations and reduction factor, where ASHA stopped trials of the study."""
        grace, factor = self._own("grace_evaluations"), self._own("reduction_factor")
        return (int(grace), float(factor)) if self._own("scheduler") == "asha" and grace and factor else None

    @property
    def pruned_by(self) -> str:
        """By what ASHA ranked the trials of the study at its rungs: ``fid`` where the study does not say it."""
        return str(self._tune.get("prune_by", "fid"))

    @property
    def slots(self) -> int:
        """Trials that ran side by side: as many as its GPUs held; without GPUs what the study allowed, else 2."""
        tune = self._tune
        gpus = int(self._own("gpus") or 0)
        fit = int(gpus / (tune.get("gpus_per_trial") or 1.0) + 1e-9) if gpus else _USUAL_SLOTS
        allowed = tune.get("max_concurrent")
        return max(1, fit if allowed is None else min(fit, allowed) if gpus else allowed)

    @property
    def _tune(self) -> dict[str, Any]:
        return dict(configuration(self._own("config_json"), str(self.file.parent / "studies.parquet")).get("tune", {}))

    def _own(self, column: str) -> Any:
        value = self.study.get(column)
        return None if value is None or value != value else value


def read_recording(path: Path) -> Recording:
    """Reads the curves of a study's folder, or of a file of the table ``history``.

    Raises ResultsError: there is neither, a table is damaged or of another form, no trial was evaluated yet, or an
    evaluation is missing between two others.
    """
    if path.is_file() or path.suffix == ".parquet":
        if not path.is_file():
            beside = [file.name for file in path.absolute().parent.glob("*.parquet")]
            raise ResultsError(f"there is no file {str(path)!r}; {nearest(path.name, beside)}")
        file, history = path, load_file(path, "history").to_pandas()
        _check_columns(file, history)
        study = _study_beside(file)
    else:
        file, history = path / "history.parquet", read_table(path, "history")
        study = load_study(path).about
    if history.empty:
        raise ResultsError(f"{file} has no evaluation yet: there is nothing to replay until a trial has reported")
    by_trial = history.sort_values("evaluation").groupby(["study_id", "trial_id"], sort=True)
    paces = [_pace(rows) for _, rows in by_trial]
    known = [pace for pace in paces if pace is not None]
    usual = float(np.median(known)) if known else 1.0
    curves = [
        SearchCurve(str(trial_id), _fids(file, str(trial_id), rows), pace or usual, str(study_id))
        for ((study_id, trial_id), rows), pace in zip(by_trial, paces, strict=True)
    ]
    kimg = [rows["kimg"].to_numpy(dtype=float, na_value=np.nan) for _, rows in by_trial]
    return Recording(file, curves, kimg, study)


def _check_columns(file: Path, history: pd.DataFrame) -> None:
    """Raises ResultsError where a table of another kind was given, whose columns of this kind are all null."""
    if len(history) and history[["trial_id", "evaluation", "fid"]].isna().all().any():
        raise ResultsError(
            f"{file} is no table 'history': it has no trial_id, evaluation and fid; give history.parquet"
        )


def _study_beside(file: Path) -> pd.Series:
    if not (file.parent / "studies.parquet").is_file():
        return pd.Series(dtype=object)
    return load_study(file.parent).about


def _pace(rows: pd.DataFrame) -> float | None:
    """Median seconds from an evaluation to the next, which an interruption does not change; None where unknown."""
    seconds = rows["timestamp"].diff().dt.total_seconds().median()
    return float(seconds) if seconds > 0 else None


def _fids(file: Path, trial_id: str, rows: pd.DataFrame) -> np.ndarray:

    evaluations = rows["evaluation"].to_numpy()
    gaps = np.flatnonzero(evaluations != np.arange(1, len(rows) + 1))
    if len(gaps):
        raise ResultsError(
            f"{file}: evaluation {gaps[0] + 1} of trial {trial_id} is missing, or there twice; a curve has every "
            "evaluation from 1 on. The study's command with --resume builds its tables again"
        )
    fids = rows["fid"].to_numpy(dtype=float, na_value=np.nan)
    lost = np.flatnonzero(~(fids < DIVERGED_FID))
    if len(lost):
        fids = np.append(fids[: lost[0]], np.nan)
    return fids


def pooled(recordings: Sequence[Recording], last: int | None = None) -> tuple[list[SearchCurve], int]:
    """Returns the curves of all recordings, none longer than a whole trial, and the evaluations of a whole trial.

    Args:
        last: evaluations of a whole trial; None takes those of the studies, which must agree.

    Raises ResultsError: a trial is in two of the recordings, the scores of two cannot be compared, their evaluations
    are of unlike amounts of training, their trials differ in length while ``last`` is None or are all shorter than it,
    or no trial has a score.
    """
    first = recordings[0]
    _check_each_once(recordings)
    for other in recordings:
        _check_protocol(first, other)
    if len(recordings) > 1 and (unlike := unlike_training(recordings)):
        raise ResultsError(f"{unlike}: scores of an evaluation cannot be compared; replay the studies one by one")
    for other in recordings:
        if last is None and other.max_evaluations != first.max_evaluations:
            raise ResultsError(
                f"{first.file} has trials of {first.max_evaluations} evaluations, {other.file} of "
                f"{other.max_evaluations}; give --max-evaluations, such as "
                f"{min(each.max_evaluations for each in recordings)}"
            )
    whole = max(each.max_evaluations for each in recordings)
    if last is not None and last > whole:
        raise ResultsError(
            f"--max-evaluations {last}: no trial has more than {whole} evaluations; give at most {whole}"
        )
    last = last or whole
    curves = [curve.until(last) for recording in recordings for curve in recording.curves]
    if all(np.isnan(curve.fids).all() for curve in curves):
        raise ResultsError(f"{first.file}: every trial diverged before its first score; there is no best to keep")
    return curves, last


def unlike_training(recordings: Sequence[Recording]) -> str | None:
    """Returns, in words, at which evaluation two trials had been trained for unlike numbers of images; None: at none.

    Every trial is compared with the longest, at its own last evaluation.
    """
    known = [
        (f"{curve.trial_id} of {recording.file}", kimg)
        for recording in recordings
        for curve, kimg in zip(recording.curves, recording.kimg, strict=True)
    ]
    longest, most = max(known, key=lambda trial: len(trial[1]))
    for trial, kimg in known:
        evaluation = len(kimg)
        one, other = most[evaluation - 1], kimg[-1]
        if abs(one - other) > _UNLIKE_KIMG * max(one, other):
            return (
                f"evaluation {evaluation} comes after {one:.4g} kimg in trial {longest}, and after {other:.4g} kimg in "
                f"trial {trial}"
            )
    return None


def _check_each_once(recordings: Sequence[Recording]) -> None:
    """Raises ResultsError where a trial stands twice, as in a study and a copy of its folder."""
    places: dict[tuple[str, str], Path] = {}
    for recording in recordings:
        for curve in recording.curves:
            trial = curve.study_id, curve.trial_id
            if trial in places:
                raise ResultsError(
                    f"trial {curve.trial_id} of study {curve.study_id!r} is in {places[trial]} and in "
                    f"{recording.file}: its curve would count double; give one of the two"
                )
            places[trial] = recording.file


def _check_protocol(first: Recording, other: Recording) -> None:
    for column in _PROTOCOL:
        one, two = (recording.study.get(column) for recording in (first, other))
        if pd.notna(one) and pd.notna(two) and one != two:
            raise ResultsError(
                f"the scores of {first.file} and {other.file} cannot be compared: {column} is {one!r} and {two!r}; "
                "replay them one by one"
            )
