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
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any

from autogan_ray.config import StudyConfig
from autogan_ray.errors import ConfigError, NotFoundError, ResultsError
from autogan_ray.genotype import Genotype
from autogan_ray.plan import STUDY_FILE
from autogan_ray.results.store import Study
from autogan_ray.space import SearchSpace, load_space

if TYPE_CHECKING:
    from autogan_ray.metrics.study import Measure

RESULT = "result.json"
RANDOM = "random"


@dataclass(frozen=True)
class Job:
    """One retraining.

    Args:
        source: ``retrain`` (a trial's genotype), ``random`` or ``user``.
        trial: the trial's model settings, and its id if the genotype came from one.
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
        genotypes: files, or ``random`` for one random genotype of the best trial's space a seed.

    Raises:
        ResultsError: no scored trial, or no such trial.
        GenotypeError, NotFoundError: a genotype that does not exist or does not fit its space.
    """
    jobs = []
    if trial is not None:
        for row in _trials(study, trial, top):
            genotype = _genotype_of(study, row["genotype_id"])
            for seed in range(seeds):
                jobs.append(_job("retrain", f"trial {row['trial_id']}", genotype, seed, row, study, config))
    for name in genotypes:
        row = study.best
        for seed in range(seeds):
            if name == RANDOM:
                space = study_spaces(study.folder)[row["space"]]
                genotype = space.random(_genotype_of(study, row["genotype_id"]).image_size, seed)
                jobs.append(_job(RANDOM, f"random {seed}", genotype, seed, row, study, config, trial_id=None))
            else:
                genotype = read_genotype(name)
                jobs.append(_job("user", Path(name).stem, genotype, seed, row, study, config, trial_id=None))
    return jobs


def _trials(study: Study, trial: str, top: int) -> list[Any]:
    trials = study.trials
    scored = trials[trials["fid_best"].notna()].sort_values("fid_best", kind="stable")
    if scored.empty:
        raise ResultsError(f"study {str(study.folder)!r} has no scored trial yet")
    if trial == "best":
        return [row for _, row in scored.head(top).iterrows()]
    found = scored[scored["trial_id"] == trial]
    if found.empty:
        known = ", ".join(scored["trial_id"])
        raise ResultsError(f"no scored trial {trial!r} in {str(study.folder)!r}; there are {known}")
    return [found.iloc[0]]


def _genotype_of(study: Study, genotype_id: str) -> Genotype:
    genotypes = study.genotypes
    return Genotype.from_json(genotypes[genotypes["genotype_id"] == genotype_id]["genotype_json"].iloc[0])


def study_spaces(folder: Path) -> dict[str, SearchSpace]:
    """The spaces a study searched, by the name its trials give them, as they were then."""
    about = json.loads((folder / STUDY_FILE).read_text(encoding="utf-8"))
    return {
        name: SearchSpace.from_dict(values, f"{folder}, space {name!r}") for name, values in about["spaces"].items()
    }


def read_genotype(name: str) -> Genotype:
    """A genotype file. Raises NotFoundError or GenotypeError."""
    path = Path(name)
    if not path.is_file():
        raise NotFoundError(f"genotype {name!r}: no such file (or give 'random' for random genotypes)")
    return Genotype.from_json(path.read_text(encoding="utf-8"))


def _job(
    source: str,
    name: str,
    genotype: Genotype,
    seed: int,
    row: Any,
    study: Study,
    config: StudyConfig,
    trial_id: str | None = "",
) -> Job:
    known = {space.name: space for space in study_spaces(study.folder).values()}
    space = known.get(genotype.space) or load_space(genotype.space)
    space.check(genotype)
    wanted = int(study.studies["image_size"].iloc[0])
    if genotype.image_size != wanted:
        raise ConfigError(f"genotype {name!r} is for {genotype.image_size} px, the study's images have {wanted}")
    model = json.loads(row["config_json"])["model"]
    owner = row["trial_id"] if trial_id == "" else trial_id
    job = Job(source, name, genotype, space, seed, owner, model, config, Path())
    return replace(job, folder=study.folder / "retrain" / job.evaluation_id)


def run_jobs(
    jobs: Sequence[Job], measure: Measure, devices: Sequence[str], resume: bool, on_done: Callable[[Job, dict], None]
) -> list[dict[str, Any]]:
    """Run all, one process a device side by side; results in the order of ``jobs``.

    Raises ResultsError where a job's folder holds a retraining already and ``resume`` is not set.
    """
    for job in jobs:
        if job.folder.exists() and not resume:
            raise ResultsError(f"{job.folder} holds this retraining already; go on with --resume, or change --kimg")
    context = multiprocessing.get_context("spawn")
    # One process a device, and a job goes to whichever device is free: none has two, none waits.
    workers = [ProcessPoolExecutor(max_workers=1, mp_context=context) for _ in devices]
    free: Queue[int] = Queue()
    for index in range(len(devices)):
        free.put(index)

    def place(job: Job) -> dict[str, Any]:
        index = free.get()
        try:
            return workers[index].submit(run_job, replace(job, device=devices[index]), measure).result()
        finally:
            free.put(index)

    try:
        with ThreadPoolExecutor(len(devices)) as threads:
            waiting = {threads.submit(place, job): job for job in jobs}
            for future in as_completed(waiting):
                on_done(waiting[future], future.result())
        return [future.result() for future in waiting]
    finally:
        for worker in workers:
            worker.shutdown(cancel_futures=True)


def run_job(job: Job, measure: Measure) -> dict[str, Any]:
    """Train, score and save one network; gives the row of ``evaluations`` and the score of the untrained network."""
    import torch

    torch.set_num_threads(1 if job.device == "cpu" else torch.get_num_threads())
    finished = job.folder / RESULT
    if finished.exists():
        found: dict[str, Any] = json.loads(finished.read_text(encoding="utf-8"))
        return found
    from autogan_ray.retraining import Retraining

    result = Retraining(job, measure).run()
    temporary = finished.with_name(f".{RESULT}.tmp")
    temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    temporary.replace(finished)
    return result
