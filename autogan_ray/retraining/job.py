"""Retraining genotypes from scratch and scoring them: the best of a study, random ones, a user's own.

One :class:`Job` is one genotype with one seed in one process; all jobs of a call have the same budget, data and
metric, so that their scores can be compared.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any

from autogan_ray.base.errors import ConfigError, GenotypeError, NotFoundError, ResultsError, nearest
from autogan_ray.base.files import replace_text
from autogan_ray.base.processes import end_with_parent
from autogan_ray.config.study import StudyConfig
from autogan_ray.results.retrained import RESULT, RETRAINED, read_result
from autogan_ray.results.study_tables import Study
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.spaces.published import is_published, load_genotype
from autogan_ray.spaces.space import SearchSpace, load_space, space_of
from autogan_ray.study.study_file import STUDY_FILE

if TYPE_CHECKING:
    from autogan_ray.metrics.measure import Measure

RANDOM = "random"
BEST = "best"


@dataclass(frozen=True)
class Job:
    """One retraining.

    Args:
        source: ``retrain`` (a trial's genotype), ``random``, ``published`` (a shipped genotype) or ``user`` (a file).
        trial_id: of the trial that the genotype came from, if it did.
        model: the widths and the like of the search, which stand where the recipe leaves them open.
        folder: for checkpoints, samples and the generator.
    """

    source: str
    name: str
    genotype: Genotype
    space: SearchSpace
    seed: int
    trial_id: str | None
    model: dict[str, Any]
    study: StudyConfig
    folder: Path
    device: str = "cpu"

    @property
    def recipe(self) -> str:
        """Discriminator, length, and a digest of every setting: networks of one recipe can be compared."""
        config = self.study.retrain
        decides = [config.model_dump(mode="json"), self.model, self.study.metrics.n_fake_final]
        digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
        return f"{config.discriminator}-k{config.kimg:g}-{digest[:6]}"

    @property
    def evaluation_id(self) -> str:
        return f"{self.source}-{self.genotype.genotype_id}-{self.recipe}-s{self.seed}"


def wanted_jobs(
    study: Study, *, trial: str | None, top: int, genotypes: Sequence[str], seeds: int, config: StudyConfig
) -> list[Job]:
    """The jobs of a call.

    Args:
        trial: ``best`` or a trial's id; None where only ``genotypes`` are wanted.
        top: retrain so many of the best trials (with ``best``).
        genotypes: shipped names, files, or ``random`` for one random genotype a seed, of the best trial's space (or
            of the study's where nothing was searched).

    Raises:
        ResultsError: no scored trial, or no such trial.
        ConfigError: several of the best and one by its id.
        GenotypeError, NotFoundError: a genotype that does not exist or does not fit its space or the study's images.
    """
    maker = _JobMaker(study, config)
    jobs = []
    if trial is not None:
        for row in _trials(study, trial, top):
            genotype = _genotype_of(study, row["genotype_id"])
            model = json.loads(row["config_json"])["model"]
            for seed in range(seeds):
                jobs.append(maker.job("retrain", f"trial {row['trial_id']}", genotype, seed, row["trial_id"], model))
    for name in genotypes:
        for seed in range(seeds):
            if name == RANDOM:
                genotype = maker.space.random(maker.image_size, seed)
                jobs.append(maker.job(RANDOM, f"random {seed}", genotype, seed))
            else:
                source = "published" if is_published(name) else "user"
                jobs.append(maker.job(source, Path(name).stem, _asked_for(name), seed))
    return jobs


class _JobMaker:
    """What the jobs of a call share."""

    def __init__(self, study: Study, config: StudyConfig) -> None:
        self._study, self._config = study, config
        self._spaces = study_spaces(study.folder)
        self.image_size = int(study.studies["image_size"].iloc[0])
        best = study.trials[study.trials["fid_best"].notna()]
        self._best = study.best if len(best) else None
        self._model = (
            config.model.model_dump() if self._best is None else json.loads(self._best["config_json"])["model"]
        )

    @property
    def space(self) -> SearchSpace:
        """Of the best trial, else the one that the study names."""
        name = self._config.space if self._best is None else self._best["space"]
        return self._spaces.get(name) or load_space(name)

    def job(
        self,
        source: str,
        name: str,
        genotype: Genotype,
        seed: int,
        trial_id: str | None = None,
        model: dict[str, Any] | None = None,
    ) -> Job:
        """``model``: None takes the best trial's, else the study's."""
        known = {space.name: space for space in self._spaces.values()}
        space = known.get(genotype.space) or space_of(genotype)
        try:
            genotype = space.resized(genotype, self.image_size)
        except GenotypeError as error:
            raise GenotypeError(f"{name}: {error}") from error
        job = Job(source, name, genotype, space, seed, trial_id, model or self._model, self._config, Path())
        return replace(job, folder=self._study.folder / RETRAINED / job.evaluation_id)


def _asked_for(name: str) -> Genotype:
    """Raises NotFoundError or GenotypeError."""
    try:
        return load_genotype(name)
    except NotFoundError as error:
        raise NotFoundError(f"{error}; or 'random' for random genotypes") from error


def _trials(study: Study, trial: str, top: int) -> list[Any]:
    trials = study.trials
    scored = trials[trials["fid_best"].notna()].sort_values("fid_best", kind="stable")
    if scored.empty:
        raise ResultsError(f"study {str(study.folder)!r} has no scored trial yet; name a network by --genotype")
    if trial == BEST:
        return [row for _, row in scored.head(top).iterrows()]
    found = scored[scored["trial_id"] == trial]
    if found.empty:
        hint = nearest(trial, [BEST, *scored["trial_id"]])
        raise ResultsError(f"no scored trial {trial!r} in {str(study.folder)!r}; {hint}")
    if top > 1:
        raise ConfigError(f"--top {top} with --trial {trial}: that is one trial; leave one of them out")
    return [found.iloc[0]]


def _genotype_of(study: Study, genotype_id: str) -> Genotype:
    genotypes = study.genotypes
    return Genotype.from_json(genotypes[genotypes["genotype_id"] == genotype_id]["genotype_json"].iloc[0])


def study_spaces(folder: Path) -> dict[str, SearchSpace]:
    """The spaces a study searched, by the name its trials give them, as they were then. Raises ResultsError."""
    file = folder / STUDY_FILE
    try:
        spaces = json.loads(file.read_text(encoding="utf-8"))["spaces"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultsError(f"{file} is missing or damaged ({error}); put it back from a copy") from error
    return {name: SearchSpace.from_dict(values, f"{folder}, space {name!r}") for name, values in spaces}


def run_jobs(
    jobs: Sequence[Job],
    measure: Measure,
    devices: Sequence[str],
    resume: bool,
    on_end: Callable[[Job, dict[str, Any] | BaseException], None],
) -> None:
    """Run all, one process a device side by side; a job that fails stops no other.

    Args:
        on_end: called in this thread as each job ends, with its result or its error.

    Raises ResultsError where a job's folder holds a retraining already and ``resume`` is not set.
    """
    for job in jobs:
        if job.folder.exists() and not resume:
            raise ResultsError(f"{job.folder} holds this retraining already; go on with --resume, or change --kimg")
    context = multiprocessing.get_context("spawn")

    def started() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(max_workers=1, mp_context=context, initializer=end_with_parent)

    # One process a device, and a job goes to whichever device is free: none has two, none waits.
    workers = [started() for _ in devices]
    free: Queue[int] = Queue()
    for index in range(len(devices)):
        free.put(index)

    def place(job: Job) -> dict[str, Any]:
        index = free.get()
        try:
            return workers[index].submit(run_job, replace(job, device=devices[index]), measure).result()
        except BrokenProcessPool:  # its process was killed: the next job gets a new one
            workers[index] = started()
            raise
        finally:
            free.put(index)

    try:
        with ThreadPoolExecutor(len(devices)) as threads:
            waiting = {threads.submit(place, job): job for job in jobs}
            for future in as_completed(waiting):
                on_end(waiting[future], future.exception() or future.result())
    finally:
        for worker in workers:
            worker.shutdown(cancel_futures=True)


def run_job(job: Job, measure: Measure) -> dict[str, Any]:
    """Train, score and save one network; gives the row of ``evaluations`` and the score of the untrained network."""
    import torch

    torch.set_num_threads(1 if job.device == "cpu" else torch.get_num_threads())
    if (known := read_result(job.folder)) is not None:
        return known
    from autogan_ray.retraining.training import Retraining

    result = Retraining(job, measure).run()
    replace_text(job.folder / RESULT, json.dumps(result, indent=2) + "\n")
    return result
