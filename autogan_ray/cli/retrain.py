"""``retrain``: genotypes trained from scratch, scored by the protocol of a study, and compared."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autogan_ray.base.errors import ConfigError, ResultsError, UserError
from autogan_ray.base.machine import usable_cpus
from autogan_ray.cli import commands, options
from autogan_ray.cli.text import evaluation_table, number

if TYPE_CHECKING:
    from autogan_ray.config.study import StudyConfig
    from autogan_ray.metrics.measure import Measure
    from autogan_ray.results.study import Study
    from autogan_ray.retraining.job import Job


@click.command()
@options.results
@click.option("--study", help="For a new folder RESULTS: data and metric of this study; nothing is searched.")
@click.option("--recipe", help="Published training settings: see the verb recipes; or a file.")
@click.option("--trial", help="'best', or a trial's id or number (default best, unless --genotype is given).")
@click.option("--top", type=options.Count(min=1), default=1, show_default=True, help="With best: so many trials.")
@click.option("--genotype", "genotypes", multiple=True, help="A shipped name, a file, an id, or 'random'; repeatable.")
@click.option("--seeds", type=options.Count(min=1), default=1, show_default=True, help="Runs of each genotype.")
@click.option("--kimg", type=options.Number(min=0, min_open=True), help="Length of training.")
@click.option("--discriminator", type=click.Choice(["derived", "fixed"]), help="fixed: the published protocol.")
@options.gpus
@options.settings("Change a retrain.* setting, or where files lie.")
@options.resume("Go on with what is in the folder.")
def retrain(
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
) -> None:
    """Train genotypes from scratch and score them by the protocol of the study in RESULTS."""
    from autogan_ray.base.folders import check_writable
    from autogan_ray.results.study import load_study
    from autogan_ray.retraining.training import check_networks
    from autogan_ray.retraining.wanted import wanted_jobs
    from autogan_ray.study.plan import gpu_shortage

    if study is None:
        results = options.study_folder(results)
    shortage = gpu_shortage(gpus)
    if shortage:
        raise ConfigError(shortage)
    begun = None if study is None else _begin_unsearched(results, study, overrides, gpus)
    if study is not None:
        overrides = [text for text in overrides if text.startswith("retrain.")]
    try:
        stored = load_study(results)
        config = _with_recipe(stored.config, recipe, kimg, discriminator, overrides)
        trial = trial or (None if genotypes else "best")
        jobs = wanted_jobs(stored, trial=trial, top=top, genotypes=genotypes, seeds=seeds, config=config)
        measure = begun or _prepare(config, gpus, stored)
        check_networks(jobs, measure.data)
        check_writable(results, "RESULTS")
    except UserError:
        if begun:
            import shutil

            shutil.rmtree(results)  # this call made the folder, for nothing
        raise
    raise SystemExit(_train(jobs, measure, stored, gpus, recipe, resume))


def _begin_unsearched(folder: Path, name: str, overrides: Sequence[str], gpus: int) -> Measure | None:
    """Makes the folder of a study in which nothing is searched: it holds the data and the metric of retrainings.

    Returns data, extractor and real statistics; None for a folder that holds this very study already and stays as it
    is.

    Raises ConfigError, NotFoundError, DataError, MetricError or ResultsError: there is no such study, or it cannot be
    measured, or the folder holds another study or cannot be written to.
    """
    from autogan_ray.base.folders import check_writable
    from autogan_ray.config.overrides import parse_override
    from autogan_ray.config.study import load_study_config
    from autogan_ray.results.tables import write_tables
    from autogan_ray.results.trial_log import TrialLogs
    from autogan_ray.study.plan import make_plan
    from autogan_ray.study.study_file import check_folder, new_about, write_about, write_reals

    changes = dict(parse_override(text) for text in overrides if not text.startswith("retrain."))
    study = load_study_config(name, {"name": folder.resolve().name} | changes)
    if check_folder(study, folder, resume=True) is not None:
        return None
    plan = make_plan(study, folder, gpus)
    check_writable(folder, "RESULTS")
    measure = _prepare(study, gpus)
    about = new_about(plan, measure, commands.typed(), status="unsearched")
    folder.mkdir(parents=True, exist_ok=True)
    write_about(folder, about)
    write_reals(folder, measure.data)
    write_tables(folder, about, TrialLogs(folder))
    return measure


def _with_recipe(
    stored: dict[str, Any], recipe: str | None, kimg: float | None, discriminator: str | None, overrides: Sequence[str]
) -> StudyConfig:
    """The stored configuration of a study with the settings of this retraining. Raises ConfigError, NotFoundError."""
    from autogan_ray.config.overrides import parse_override, relocate
    from autogan_ray.config.recipe import load_recipe
    from autogan_ray.config.study import StudyConfig, assign

    if recipe is not None:
        stored["retrain"] = load_recipe(recipe).retrain.model_dump(mode="json")
    relocate(stored, [text for text in overrides if not text.startswith("retrain.")])
    for key, value in [parse_override(text) for text in overrides if text.startswith("retrain.")]:
        assign(stored, key, value)
    if kimg is not None:
        stored["retrain"]["kimg"] = kimg
    if discriminator is not None:
        stored["retrain"]["discriminator"] = discriminator
    return StudyConfig.parse(stored, "the study's configuration", ConfigError)


def _prepare(study: StudyConfig, gpus: int, stored: Study | None = None) -> Measure:
    """Data, extractor and real statistics. Raises ResultsError for other images than those of the ``stored`` study."""
    from autogan_ray.metrics.measure import measure_against
    from autogan_ray.study.plan import driver_device
    from autogan_ray.study.study_file import check_same_data
    from autogan_ray.training.data import load_study_data

    click.echo("preparing data, extractor and the statistics of the real images (kept for the next time)")
    images = load_study_data(study.data, study.metrics)
    if stored is not None:
        check_same_data(stored.studies.iloc[0], images, stored.folder)  # before an extractor is trained on them
    return measure_against(images, study.metrics, driver_device(gpus))


def _train(jobs: Sequence[Job], measure: Measure, study: Study, gpus: int, recipe: str | None, resume: bool) -> int:
    """Trains all networks, prints the comparison, and returns the exit code: 1 where a network has no result."""

    devices = [f"cuda:{index}" for index in range(gpus)] or ["cpu"] * usable_cpus()
    devices = devices[: len(jobs)]
    kimg = jobs[0].study.retrain.kimg
    click.echo(f"retraining {len(jobs)} networks, {kimg:g} kimg each, {len(devices)} side by side")
    if recipe is not None:
        _print_recipe(recipe, measure.data.image_size)
    with commands.resumable(study.folder):
        finished = _train_all(jobs, measure, devices, resume, study)
    if finished:
        click.echo("")
        _print_comparison(study.folder, measure, finished)
    return 0 if len(finished) == len(jobs) else 1


def _print_recipe(name: str, image_size: int) -> None:
    from autogan_ray.config.recipe import load_recipe

    recipe = load_recipe(name)
    other = "" if recipe.image_size == image_size else f" (published for {recipe.image_size} px; here {image_size} px)"
    click.echo(f"recipe {name}: {recipe.description}{other}")


def _train_all(
    jobs: Sequence[Job], measure: Measure, devices: Sequence[str], resume: bool, study: Study
) -> list[dict[str, Any]]:
    """Runs the jobs and adds each result to the tables as its job ends.

    Returns the results of the jobs that did not fail, in the order of the jobs.
    """
    from autogan_ray.results.retrained import add_result, mend_retrained
    from autogan_ray.retraining.workers import run_jobs

    study_id = str(study.studies["study_id"].iloc[0])
    finished: dict[str, dict[str, Any]] = {}

    def on_end(job: Job, result: dict[str, Any] | BaseException) -> None:
        lead = f"  {job.name} (genotype {job.genotype.genotype_id}), seed {job.seed}"
        if isinstance(result, BaseException):
            click.echo(f"{lead}: FAILED, {type(result).__name__}: {result}")
            return
        add_result(study.folder, result, study_id)
        finished[job.evaluation_id] = result
        click.echo(f"{lead}: {number(result['row']['fid'])}")

    if lost := mend_retrained(study.folder, study_id):
        click.echo(f"built again from the folders in retrain/, as they were missing or damaged: {', '.join(lost)}")
    run_jobs(jobs, measure, devices, resume, on_end)
    return [finished[job.evaluation_id] for job in jobs if job.evaluation_id in finished]


def _print_comparison(folder: Path, measure: Measure, results: Sequence[dict[str, Any]]) -> None:
    """Prints the new scores, and beside them all of the same recipe, the untrained networks and the floor."""
    import statistics

    from autogan_ray.metrics.extractors.registry import metric_label
    from autogan_ray.metrics.measure import floor
    from autogan_ray.results.analysis.verdict import baselines, verdict
    from autogan_ray.results.retrained import RETRAINED
    from autogan_ray.results.store import read_rows
    from autogan_ray.results.study import load_study

    metric, rows = metric_label(measure.extractor.name), [result["row"] for result in results]
    click.echo(evaluation_table(rows, metric) + "\n")
    _print_group("searched", metric, [row for row in rows if row["source"] == "retrain"])
    recipes = {_recipe_of(row) for row in rows}
    stored = [row for row in read_rows(folder, "evaluations") if _recipe_of(row) in recipes]
    _print_group("random genotypes", metric, [row for row in stored if row["source"] == "random"])
    others = [row for row in stored if row["source"] in ("published", "user")]
    for name in dict.fromkeys(row["name"] for row in others):
        _print_group(name, metric, [row for row in others if row["name"] == name])
    untrained = [result["fid_untrained"] for result in results if result["fid_untrained"] is not None]
    click.echo(f"untrained: {metric} {number(statistics.fmean(untrained) if untrained else None)}")
    half, fakes = len(measure.real.embedding) // 2, rows[0]["n_fake"]
    click.echo(f"floor: {metric} {number(floor(measure.real))}, one half of the real images against the other")
    click.echo(f"({half} images each; the networks are scored with {fakes}: a distance falls with the count,")
    click.echo("so they can pass it)")
    generator = folder / RETRAINED / rows[0]["evaluation_id"]
    click.echo(f"\nsamples and generator in {generator}; go on with")
    click.echo("  " + commands.command("generate", generator, "--out", generator / "images"))
    click.echo("  " + commands.command("evaluate", generator))
    click.echo("  " + commands.command("report", folder))
    study = load_study(folder)
    with suppress(ResultsError):  # no trial's best genotype was retrained, so there is nothing to compare
        verdicts = [str(verdict(study, name)) for name in baselines(study)]
        if verdicts:
            click.echo(f"\nverdict (again: {commands.command('compare', folder)})")
            click.echo("\n".join(f"  {line}" for line in verdicts))


def _recipe_of(row: dict[str, Any]) -> str:
    """The recipe of a retrained network, read from its id (see ``Job.evaluation_id``)."""
    return str(row["evaluation_id"]).split("-", 2)[2].rsplit("-s", 1)[0]


def _print_group(name: str, metric: str, rows: Sequence[dict[str, Any]]) -> None:
    import statistics

    scores = [row["fid"] for row in rows if row["fid"] is not None]
    if not scores:
        return
    spread = f", from {min(scores):.4g} to {max(scores):.4g}" if len(scores) > 1 else ""
    click.echo(f"{name}: {metric} {statistics.fmean(scores):.4g}, mean of {len(scores)}{spread}")
