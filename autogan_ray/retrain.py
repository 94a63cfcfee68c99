"""Retraining genotypes from scratch and scoring them: the best of a study, random ones, a user's own.

One :class:`Job` is one genotype with one seed in one process; all jobs of a call have the same budget, data and
metric, so that their scores can be compared.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autogan_ray.config import StudyConfig
from autogan_ray.errors import ConfigError, NotFoundError, ResultsError
from autogan_ray.genotype import Genotype
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
    def evaluation_id(self) -> str:
        budget = f"{self.study.retrain.kimg:g}"
        d = self.study.retrain.discriminator
        return f"{self.source}-{self.genotype.genotype_id}-{d}-k{budget}-s{self.seed}"


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
                space = load_space(row["space"])
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
    space = load_space(genotype.space)
    space.check(genotype)
    wanted = int(study.studies["image_size"].iloc[0])
    if genotype.image_size != wanted:
        raise ConfigError(f"genotype {name!r} is for {genotype.image_size} px, the study's images have {wanted}")
    model = json.loads(row["config_json"])["model"]
    job = Job(
        source, name, genotype, space, seed, row["trial_id"] if trial_id == "" else trial_id, model, config, Path()
    )
    return Job(**{**job.__dict__, "folder": study.folder / "retrain" / job.evaluation_id})


def run_jobs(
    jobs: Sequence[Job], measure: Measure, devices: Sequence[str], resume: bool, on_done: Callable[[Job, dict], None]
) -> list[dict[str, Any]]:
    """Run all, one process a device side by side; results in the order of ``jobs``.

    Raises ResultsError where a job's folder holds a result already and ``resume`` is not set.
    """
    for job in jobs:
        if (job.folder / RESULT).exists() and not resume:
            raise ResultsError(f"{job.folder} holds a finished retraining; go on with --resume, or change --kimg")
    results: dict[str, dict[str, Any]] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=len(devices), mp_context=context) as pool:
        free = {}
        for index, job in enumerate(jobs):
            placed = Job(**{**job.__dict__, "device": devices[index % len(devices)]})
            free[pool.submit(run_job, placed, measure)] = job
        for future in as_completed(free):
            job = free[future]
            results[job.evaluation_id] = future.result()
            on_done(job, results[job.evaluation_id])
    return [results[job.evaluation_id] for job in jobs]


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
