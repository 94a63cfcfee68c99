"""``retrain`` and ``doctor``, with ``say`` for printing handed in by the command line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autogan_ray.base.errors import ConfigError, ResultsError, UserError
from autogan_ray.base.folders import check_writable
from autogan_ray.cli.run import resolve_study
from autogan_ray.config.study import StudyConfig, parse_override
from autogan_ray.study.plan import driver_device, make_plan

if TYPE_CHECKING:
    from autogan_ray.metrics.measure import Measure
    from autogan_ray.results.study_tables import Study
    from autogan_ray.retraining.job import Job

Say = Callable[[str], None]


def retrain_command(
    say: Say,
    *,
    results: Path,
    study: str | None,
    recipe: str | None,
    trial: str | None,
    top: int,
    genotypes: Sequence[str],
    seeds: int,
    kimg: float | None,
    discriminator: str | None,
    gpus: int,
    overrides: Sequence[str],
    resume: bool,
    command: str,
) -> int:
    """``retrain``: rows appended to ``evaluations``; exit code 0."""
    from autogan_ray.cli.studies import say_comparison
    from autogan_ray.results.study_tables import load_study
    from autogan_ray.retraining.job import run_jobs, wanted_jobs
    from autogan_ray.retraining.training import check_networks
    from autogan_ray.study.plan import gpu_shortage

    shortage = gpu_shortage(gpus)
    if shortage:
        raise ConfigError(shortage)
    begun = None if study is None else begin_unsearched(say, results, study, overrides, gpus, command)
    if study is not None:
        overrides = [text for text in overrides if text.startswith("retrain.")]
    try:
        found = load_study(results)
        config = _retrain_config(found.config, recipe, kimg, discriminator, overrides)
        trial = trial or (None if genotypes else "best")
        jobs = wanted_jobs(found, trial=trial, top=top, genotypes=genotypes, seeds=seeds, config=config)
        measure = begun or _prepared(say, config, gpus)
        if measure.data.digest != found.studies["dataset_digest"].iloc[0]:
            raise ResultsError(f"data {config.data.source!r} is not what it was in {results}: digests differ")
        check_networks(jobs, measure.data)
        check_writable(results, "RESULTS")
    except UserError:
        if begun:
            shutil.rmtree(results)  # made a moment ago, for nothing
        raise
    devices = [f"cuda:{index}" for index in range(gpus)] or ["cpu"] * (os.cpu_count() or 1)
    devices = devices[: max(1, len(jobs))]
    say(f"retraining {len(jobs)} networks, {config.retrain.kimg:g} kimg each, {len(devices)} side by side")
    if recipe is not None:
        say(_recipe_line(recipe, measure.data.image_size))

    try:
        results_of = _train_all(say, jobs, lambda tell: run_jobs(jobs, measure, devices, resume, tell), found)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the same command with --resume goes on") from None
    if results_of:
        say("")
        say_comparison(say, results, measure, results_of, driver_device(gpus))
    return 0 if len(results_of) == len(jobs) else 1


def _train_all(
    say: Say, jobs: Sequence[Job], run: Callable[[Callable[[Job, Any], None]], None], study: Study
) -> list[dict[str, Any]]:
    """Run the jobs, put each one's row into ``evaluations`` as it ends, and give the results in the jobs' order."""
    from autogan_ray.cli.text import number
    from autogan_ray.results.retrained import mend_evaluations
    from autogan_ray.results.rows import evaluation_row
    from autogan_ray.results.store import append_rows

    study_id = str(study.studies["study_id"].iloc[0])
    ended: dict[str, dict[str, Any]] = {}

    def tell(job: Job, result: dict[str, Any] | BaseException) -> None:
        lead = f"  {job.name} (genotype {job.genotype.genotype_id}), seed {job.seed}"
        if isinstance(result, BaseException):
            say(f"{lead}: FAILED, {type(result).__name__}: {result}")
            return
        append_rows(study.folder, "evaluations", [evaluation_row(result, study_id)])
        ended[job.evaluation_id] = result
        say(f"{lead}: {number(result['row']['fid'])}")

    if mend_evaluations(study.folder, study_id):
        say("the table evaluations was missing or damaged, and is built again from the folders in retrain/")
    run(tell)
    return [ended[job.evaluation_id] for job in jobs if job.evaluation_id in ended]


def _prepared(say: Say, study: StudyConfig, gpus: int) -> Measure:
    from autogan_ray.metrics.measure import prepare

    say("preparing data, extractor and the statistics of the real images (kept for the next time)")
    return prepare(study.data, study.metrics, driver_device(gpus))


def begin_unsearched(
    say: Say, folder: Path, name: str, overrides: Sequence[str], gpus: int, command: str
) -> Measure | None:
    """Make a study's folder in which nothing is searched: for its data and metric, by which genotypes are compared.

    Returns what its scores are taken against; None for a folder that holds this very study already: it stays as it is.

    Raises ConfigError, NotFoundError, DataError, MetricError or ResultsError: no such study, or it cannot be measured,
    or the folder holds another one or cannot be written to.
    """
    from autogan_ray.config.study import load_study_config
    from autogan_ray.results.tables import write_tables
    from autogan_ray.results.trial_log import TrialLogs
    from autogan_ray.study.study_file import check_folder, new_about, write_about

    changes = dict(parse_override(text) for text in overrides if not text.startswith("retrain."))
    study = load_study_config(name, {"name": folder.resolve().name} | changes)
    if check_folder(study, folder, resume=True) is not None:
        return None
    plan = make_plan(study, folder, gpus)
    check_writable(folder, "RESULTS")
    measure = _prepared(say, study, gpus)
    about = new_about(plan, measure, command, status="unsearched")
    folder.mkdir(parents=True, exist_ok=True)
    write_about(folder, about)
    write_tables(folder, about, TrialLogs(folder))
    return measure


def _recipe_line(recipe: str, image_size: int) -> str:
    from autogan_ray.config.recipe import load_recipe

    found = load_recipe(recipe)
    other = "" if found.image_size == image_size else f" (published for {found.image_size} px; here {image_size} px)"
    return f"recipe {recipe}: {found.description}{other}"


def _retrain_config(
    stored: dict[str, Any], recipe: str | None, kimg: float | None, discriminator: str | None, overrides: Sequence[str]
) -> StudyConfig:
    from autogan_ray.config.recipe import load_recipe
    from autogan_ray.config.study import assign

    if recipe is not None:
        stored["retrain"] = load_recipe(recipe).retrain.model_dump(mode="json")
    for key, value in [parse_override(text) for text in overrides]:
        if not key.startswith(("retrain.", "metrics.weights", "metrics.batch_size", "data.root")):
            raise ConfigError(f"--set {key}: a retraining may change retrain.* and where files lie, not the study")
        assign(stored, key, value)
    if kimg is not None:
        stored["retrain"]["kimg"] = kimg
    if discriminator is not None:
        stored["retrain"]["discriminator"] = discriminator
    return StudyConfig.parse(stored, "the study's configuration", ConfigError)


def doctor_command(say: Say, study: str | None, gpus: int) -> int:
    """``doctor``: exit code 0 where nothing is missing, else 1."""
    import torch

    plan = make_plan(resolve_study(study, gpus, None, None, None, None, (), ()), Path("results"), gpus)
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    say(f"study      {plan.study.name}")
    say(f"GPUs       {torch.cuda.device_count()} here, {gpus} asked for")
    say(f"disk       {free:.0f} GiB free")
    say("missing    " + ("\n           ".join(plan.missing) if plan.missing else "nothing"))
    return 1 if plan.missing else 0
