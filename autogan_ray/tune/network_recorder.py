"""Records retrainings as they run: their curves, pictures and results go into the study's folder."""

from __future__ import annotations

import json
from collections import ChainMap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial

from autogan_ray.base.files import copy_tree, replace_text
from autogan_ray.metrics.measure import Measure
from autogan_ray.results.grids import curve_grid_file
from autogan_ray.results.retrained import NETWORK_IDS, RESULT, RETRAINED_TABLES, read_result, write_retrained
from autogan_ray.results.tables import provenance_of
from autogan_ray.results.trial_log import ENDED, FINISHED, TrialLog, TrialLogs
from autogan_ray.retraining.job import Job
from autogan_ray.retraining.training import row_before
from autogan_ray.study.study_file import read_about
from autogan_ray.tune.asha import stopped_trials
from autogan_ray.tune.network_trial import FILES
from autogan_ray.tune.recorder import Listener, Recorder
from autogan_ray.tune.runner import EXPERIMENT
from autogan_ray.tune.text_logs import TextLogs
from autogan_ray.tune.trial_text import point_text


class NetworkRecorder(Recorder):
    """Writes the logs of retrainings, the files that they leave, and the tables ``evaluations`` and ``curves``.

    Args:
        folder: ``retrain`` in the study's folder, absolute.
        storage: path or URI under which Ray keeps its checkpoints.
        jobs: all of one stage.
        about: by the jobs' ids, what their logs hold of them (:func:`about_job`).
        rungs: files of the groups of a race.
        listener: called with an event for each report and for each end; must be picklable.
    """

    LESS_MEMORY = "lower retrain.batch_size or retrain.channels_g"

    def __init__(
        self,
        folder: Path,
        storage: str,
        jobs: Sequence[Job],
        about: Mapping[str, Mapping[str, Any]],
        rungs: Sequence[Path],
        listener: Listener | None,
    ) -> None:
        planned = jobs[0].study.retrain.evaluations
        super().__init__(folder, storage, planned, self._all_stopped, listener)
        self.logs = TrialLogs(folder, NETWORK_IDS)
        self._text = TextLogs(folder, planned, point_text)
        self._jobs = {job.evaluation_id: job for job in jobs}
        self._rungs, self._about = rungs, about
        self._results: dict[str, str] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        jobs = list(self._jobs.values())
        own = (self._folder, self._storage, jobs, self._about, self._rungs, self._listener)
        return type(self), own

    def is_finished(self, job: Job) -> bool:
        """Returns whether a job needs no further training."""
        return self._ended_as(self.logs.get(job.evaluation_id), self._all_stopped()) is not None

    def finish(self, **study: Any) -> None:
        """Records what became of the jobs, and writes the tables."""
        self.record_ends()
        for job in self._jobs:
            if self.logs.get(job).state not in ENDED:
                self._add(job, "status", status="interrupted")
        self._write(force=True)
        for left in self._folder.glob(f"{EXPERIMENT}/*/"):
            with suppress(OSError):
                left.rmdir()  # a folder of Ray's whose checkpoints are no longer needed

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        if result.get("result", "null") != "null":
            self._results[trial.config["trial_id"]] = result["result"]
        super().on_trial_result(iteration, trials, trial, result, **info)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        result, checkpoint = self._results.pop(trial.config["trial_id"], None), trial.checkpoint
        if result is not None and checkpoint is not None:
            folder = self._jobs[trial.config["trial_id"]].folder
            copy_tree(checkpoint.filesystem, f"{checkpoint.path}/{FILES}", folder)
            replace_text(folder / RESULT, json.dumps(json.loads(result), indent=2) + "\n")
        super().on_trial_complete(iteration, trials, trial, **info)
        ended = self.logs.get(trial.config["trial_id"]).state in FINISHED
        if ended and checkpoint is not None and checkpoint.filesystem is not None:
            checkpoint.filesystem.delete_dir(str(Path(checkpoint.path).parent))

    def _ended_as(self, log: TrialLog, stopped: Mapping[str, int]) -> str | None:
        job = self._jobs.get(log.trial_id)
        if job is None:  # of another call
            return None
        if job.stage == "final":
            diverged = bool(log.records) and log.records[-1]["diverged"]
            return None if read_result(job.folder) is None else "diverged" if diverged else "complete"
        return super()._ended_as(log, stopped)

    def _all_stopped(self) -> dict[str, int]:
        return dict(ChainMap(*map(stopped_trials, self._rungs)))

    def _log_of(self, trial: Trial) -> TrialLog:
        job = self._jobs[trial.config["trial_id"]]
        log = self.logs.get(job.evaluation_id)
        if not log.about:
            self._add(log.trial_id, "trial", config=self._about[job.evaluation_id])
        return log

    def _picture(self, log: TrialLog, evaluation: int) -> Path:
        kimg = log.evaluations[evaluation]["kimg"] if evaluation else 0.0
        return curve_grid_file(self._folder / log.trial_id, kimg)

    def _write_tables(self) -> None:
        study = self._folder.parent
        about = read_about(study)
        write_retrained(study, about["study_id"], RETRAINED_TABLES, provenance_of(about))


def about_job(job: Job, measure: Measure) -> Mapping[str, Any]:
    """Returns what a log holds of a job: its row before the training, the recipe, and how its race is judged."""
    recipe, race = job.study.retrain.model_dump(mode="json"), job.study.race.model_dump(mode="json")
    judged = {"race": race} if job.stage == "race" else {}
    return {"group": job.group, "row": row_before(job, measure), "retrain": recipe, **judged}
