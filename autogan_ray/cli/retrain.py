"""``retrain``: genotypes trained from scratch on Ray, the whole way or in a race, scored and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autogan_ray.base.errors import AlreadyThereError, ConfigError, UserError
from autogan_ray.base.room import room_wanted
from autogan_ray.cli import commands, options
from autogan_ray.cli.retrain_text import NetworkProgress, cost_after, cost_before, print_comparison, race_table

if TYPE_CHECKING:
    from autogan_ray.config.study import StudyConfig
    from autogan_ray.metrics.measure import Measure
    from autogan_ray.results.study import Study
    from autogan_ray.results.trial_log import TrialLog
    from autogan_ray.retraining.job import Job
    from autogan_ray.study.plan import Plan
    from autogan_ray.tune.runner import Options


@click.command()
@options.results
@click.option("--study", help="For a new folder RESULTS: data and metric of this study; nothing is searched.")
@click.option("--recipe", help="Published training settings: see the verb recipes; or a file.")
@click.option("--trial", help="'best', or a trial's id or number (default best, unless --genotype is given).")
@click.option("--top", type=options.Count(min=1), default=1, show_default=True, help="With best: so many trials.")
@click.option("--front", is_flag=True, help="All trials that none beats in score and cost (of two objectives).")
@click.option("--genotype", "genotypes", multiple=True, help="A shipped name, a file, an id, or 'random'; repeatable.")
@click.option("--seeds", type=options.Count(min=1), default=1, show_default=True, help="Runs of each genotype.")
@click.option("--kimg", type=options.Number(min=0, min_open=True), help="Length of training.")
@click.option("--race", type=options.Count(min=2), help="Race so many candidates first; --seeds then train the first.")
@click.option("--finalists", type=options.Count(min=1), help="Of each race, so many go on (default 1).")
@click.option("--discriminator", type=click.Choice(["derived", "fixed"]), help="fixed: the published protocol.")
@options.gpus
@click.option("--gpus-per-network", type=options.Number(min=0, min_open=True), help="Part of a GPU, or several (1).")
@click.option("--storage", help="Path or URI for checkpoints that all nodes can reach.")
@click.option("--address", help="Address of a running Ray cluster, such as auto.")
@options.settings("Change a retrain.* or race.* setting, or where files lie.")
@options.resume("Go on with what is in the folder.")
def retrain(
    results: Path,
    study: str | None,
    recipe: str | None,
    trial: str | None,
    top: int,
    front: bool,
    genotypes: Sequence[str],
    seeds: int,
    kimg: float | None,
    race: int | None,
    finalists: int | None,
    discriminator: str | None,
    gpus: int,
    gpus_per_network: float | None,
    storage: str | None,
    address: str | None,
    overrides: Sequence[str],
    resume: bool,
) -> None:
    """Train genotypes from scratch and score them by the protocol of the study in RESULTS."""
    from autogan_ray.base.folders import check_storage, check_writable
    from autogan_ray.config.overrides import is_place
    from autogan_ray.results.lock import check_free
    from autogan_ray.results.retrained import RETRAINED
    from autogan_ray.results.study import load_study
    from autogan_ray.retraining.training import check_networks
    from autogan_ray.retraining.wanted import FRONT

    if study is None:
        results = options.study_folder(results)
    if front and trial:
        raise ConfigError(f"--front with --trial {trial}: both say which trials; leave one of the options out")
    if finalists and not race:
        raise ConfigError(f"--finalists {finalists} without a race; give --race N as well")
    share = _share(gpus, gpus_per_network, address)
    begun = None if study is None else _begin_unsearched(results, study, overrides, gpus)
    if study is not None:  # its other settings are those of the folder
        overrides = [text for text in overrides if _is_own(text) or is_place(text)]
    try:
        check_free(results / RETRAINED)
        stored = load_study(results)
        config = _with_resources(_with_recipe(stored.config, recipe, kimg, discriminator, overrides), share)
        _check_divisible(config, share)
        trial = FRONT if front else trial
        wanted = _wanted(stored, config, trial, top, genotypes, seeds, race, finalists or 1)
        wanted.check_new(resume)
        measure = begun or _prepare(config, gpus, stored)
        check_networks([*wanted.candidates, *wanted.finals], measure.data)
        check_writable(results, "RESULTS")
        if storage is not None:
            check_storage(storage)
    except UserError:
        if begun:
            import shutil

            shutil.rmtree(results)  # this call made the folder, for nothing
        raise
    with commands.resumable(stored.folder), room_wanted(stored.folder):
        raise SystemExit(_train(wanted, measure, stored, gpus, recipe, address, storage))


def _is_own(override: str) -> bool:
    """Whether a setting is one of retrainings, and not of the study that they belong to."""
    return override.startswith(("retrain.", "race."))


def _share(gpus: int, asked: float | None, address: str | None) -> float:
    """GPUs of each network, a part of one or a whole number. Raises ConfigError where none, or no Ray, can start."""
    from autogan_ray.study.plan import gpu_shortage
    from autogan_ray.tune.cluster import check_address, check_start

    check_start() if address is None else check_address(address)
    shortage = gpu_shortage(gpus) if address is None else None
    if shortage:
        raise ConfigError(shortage)
    if asked and gpus == 0:
        raise ConfigError(f"--gpus-per-network {asked:g} without GPUs; give --gpus N as well")
    if asked and asked > 1 and asked != int(asked):
        raise ConfigError(
            f"--gpus-per-network {asked:g}: a network trains on a part of one GPU or on whole ones; give {round(asked)}"
        )
    if asked and asked > gpus:
        raise ConfigError(
            f"--gpus-per-network {asked:g} is more than --gpus {gpus}; a network would never start: give {gpus} or less"
        )
    return (asked or 1.0) if gpus else 0.0


def _with_resources(config: StudyConfig, share: float) -> StudyConfig:
    """The configuration with what each network takes: on CPUs one, so that as many train side by side as there are."""
    changes: dict[str, Any] = {"gpus_per_trial": share, "max_concurrent": None}
    if not share:
        changes |= {"cpus_per_trial": 1.0, "threads": 1}
    elif share > 1:  # each of its processes has the processors and threads of a network on one GPU
        changes |= {"cpus_per_trial": config.tune.cpus_per_trial * share, "threads": config.tune.trial_threads}
    return config.model_copy(update={"tune": config.tune.model_copy(update=changes)})


def _check_divisible(config: StudyConfig, share: float) -> None:
    """Raises ConfigError for a recipe that several processes, one for each GPU of a network, cannot train by."""
    count, recipe = int(share), config.retrain
    if count <= 1:
        return
    for name in ("batch_size", "batch_size_g"):
        size = getattr(recipe, name)
        if size is not None and size % count:
            around = [near for near in (size - size % count, size - size % count + count) if near]
            raise ConfigError(
                f"retrain.{name} = {size} with --gpus-per-network {count}: each GPU takes an equal part of a batch; "
                f"give {' or '.join(map(str, around))}"
            )
    if config.compute.compile:
        raise ConfigError(
            f"compute.compile = true with --gpus-per-network {count}: compiled networks train on one GPU each; give 1"
        )


@dataclass(frozen=True)
class _Wanted:
    """What a call asks for.

    Args:
        candidates: of the races; none where nothing is raced.
        finals: what is trained to its end in any case.
        finalists: how many of each race go on.
        seeds: of each of these.
    """

    study: Study
    config: StudyConfig
    candidates: Sequence[Job]
    finals: Sequence[Job]
    finalists: int
    seeds: int

    def check_new(self, resume: bool) -> None:
        """Raises AlreadyThereError where a retraining is there already and ``resume`` is not set."""
        from autogan_ray.results.retrained import log_file

        for job in [*self.candidates, *self.finals]:
            if not resume and (job.folder.exists() or log_file(self.study.folder, job.evaluation_id).exists()):
                raise AlreadyThereError(
                    f"{job.folder} holds this retraining already; go on with --resume, or change --kimg"
                )
        self._check_same_race()

    def _check_same_race(self) -> None:
        """Raises ConfigError where candidates were raced already, and were judged otherwise."""
        from autogan_ray.results.retrained import NETWORK_IDS, RETRAINED
        from autogan_ray.results.trial_log import TrialLogs

        logs = TrialLogs(self.study.folder / RETRAINED, NETWORK_IDS)
        now = self.config.race.model_dump(mode="json")
        for job in self.candidates:
            then = logs.get(job.evaluation_id).about.get("config", {}).get("race", {})
            for name, value in then.items():
                if value != now.get(name, value):
                    raise ConfigError(
                        f"race.{name} = {now[name]}: {job.label} was raced with {value} here, and a race is judged "
                        "by one rule; leave it, or race in another length (--kimg)"
                    )


def _wanted(
    study: Study, config: StudyConfig, trial: str | None, top: int, genotypes: Sequence[str], seeds: int,
    race: int | None, finalists: int,
) -> _Wanted:  # fmt: skip
    from autogan_ray.retraining.race import SEED
    from autogan_ray.retraining.wanted import race_candidates, random_count, wanted_jobs

    candidates: Sequence[Job] = []
    first_seed = 0
    searched = bool(race) and bool(study.trials["fid_best"].notna().any())
    trial = trial or ("best" if searched or not genotypes else None)
    if race:
        if top > 1:
            raise ConfigError(f"--top {top} beside --race {race}: the race says how many; leave --top out")
        candidates = race_candidates(study, trial=trial, count=race, genotypes=genotypes, config=config)
        genotypes = [name for name in genotypes if random_count(name) is None]
        trial, first_seed = None, SEED + 1
    finals = wanted_jobs(
        study, trial=trial, top=top, genotypes=genotypes, seeds=seeds, config=config, first_seed=first_seed
    )
    return _Wanted(study, config, candidates, finals, finalists, seeds)


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
    from autogan_ray.study.study_extractor import keep_extractor
    from autogan_ray.study.study_file import check_folder, new_about, write_about, write_reals

    changes = dict(parse_override(text) for text in overrides if not _is_own(text))
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
    keep_extractor(about, folder, measure.extractor)
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
    relocate(stored, [text for text in overrides if not _is_own(text)])
    for key, value in [parse_override(text) for text in overrides if _is_own(text)]:
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
    from autogan_ray.study.study_extractor import other_extractor, study_extractor
    from autogan_ray.study.study_file import check_same_data
    from autogan_ray.training.data import load_study_data

    click.echo("preparing data, extractor and the statistics of the real images (kept for the next time)")
    images = load_study_data(study.data, study.metrics)
    if stored is None:
        return measure_against(images, study.metrics, driver_device(gpus))
    check_same_data(stored.about, images, stored.folder)  # before an extractor is trained on them
    weights = study_extractor(stored.about, stored.folder, images, study.metrics)
    if warning := other_extractor(stored.about, weights):
        click.echo(f"warning: {warning}", err=True)
    return measure_against(images, study.metrics, driver_device(gpus), weights)


def _train(
    wanted: _Wanted, measure: Measure, study: Study, gpus: int, recipe: str | None, address: str | None,
    storage: str | None,
) -> int:  # fmt: skip
    """Trains all networks on Ray and prints the comparison; returns the exit code, 1 where one has no result."""
    from autogan_ray.results.lock import sole_driver
    from autogan_ray.results.retrained import RETRAINED, mend_retrained, read_result
    from autogan_ray.results.trial_log import FINISHED
    from autogan_ray.tune.cluster import cluster

    plan = _plan(wanted, study.folder, gpus, address)
    (study.folder / RETRAINED).mkdir(exist_ok=True)
    with sole_driver(study.folder / RETRAINED), cluster(plan, address, storage) as dashboard:
        from autogan_ray.tune.runner import Options

        if lost := mend_retrained(study.folder, str(study.about["study_id"])):
            click.echo(f"built again from the folders in retrain/, as they were missing or damaged: {', '.join(lost)}")
        if recipe is not None:
            _print_recipe(recipe, measure.data.image_size)
        if dashboard:
            click.echo(f"dashboard http://{dashboard}   (its token: {commands.installed('ray')} get-auth-token)")
        options = Options(address, storage, command=commands.typed())
        winners = _race(wanted, measure, plan, options) if wanted.candidates else {}
        finals = [*(job for jobs in winners.values() for job in jobs), *wanted.finals]
        logs = {} if not finals else _run(finals, measure, plan, options)
    finished = [job for job in finals if logs[job.evaluation_id].state in FINISHED]
    results = [result for job in finished if (result := read_result(job.folder)) is not None]
    if results:
        click.echo("")
        print_comparison(study.folder, measure, results)
    scored = [result for result in results if result["row"]["fid"] is not None]
    return 0 if scored and len(scored) == len(finals) and all(winners.values()) else 1


def _plan(wanted: _Wanted, folder: Path, gpus: int, address: str | None) -> Plan:
    """What the cluster is asked for."""
    from autogan_ray.base.machine import usable_cpus
    from autogan_ray.study.plan import Plan, slots_of

    jobs = max(len(wanted.candidates), len(wanted.finals), wanted.seeds * wanted.finalists)
    config = wanted.config
    study = config.model_copy(update={"tune": config.tune.model_copy(update={"num_trials": jobs})})
    return Plan(study, {}, folder, gpus, slots_of(study, gpus, usable_cpus() if address is None else 10**6), ())


def _run(jobs: Sequence[Job], measure: Measure, plan: Plan, options: Options) -> Mapping[str, TrialLog]:
    """Trains jobs of one stage; returns their logs, by their ids."""
    from autogan_ray.tune.network_runner import run_networks

    kimg, slots = plan.study.retrain.kimg, min(plan.slots, len(jobs))
    gpus = int(plan.study.tune.gpus_per_trial)
    on = f", on {gpus} GPUs each" if gpus > 1 else ""
    click.echo(f"retraining {len(jobs)} networks, {kimg:g} kimg each, {slots} side by side{on}")
    progress = NetworkProgress(jobs, slots)
    try:
        return run_networks(jobs, measure, plan.folder, options, slots, progress)
    finally:
        progress.end()


def _race(wanted: _Wanted, measure: Measure, plan: Plan, options: Options) -> dict[str, list[Job]]:
    """Races the candidates, and returns the trainings of the first of each group, with fresh seeds: none of a group in
    which no candidate has a score."""
    from autogan_ray.retraining.race import groups_of, standing
    from autogan_ray.retraining.wanted import finals_of

    click.echo(cost_before(wanted.study, wanted.config, wanted.candidates, wanted.finalists * wanted.seeds))
    logs = _run(wanted.candidates, measure, plan, options)
    finals: dict[str, list[Job]] = {}
    for group, candidates in groups_of(wanted.candidates).items():
        ranked = standing(candidates, logs)
        click.echo("\n" + (race_table(group, ranked, logs) if ranked else f"race, {group}: no candidate has a score"))
        finals[group] = finals_of(ranked[: wanted.finalists], wanted.config, wanted.seeds)
    click.echo("\n" + cost_after(wanted.candidates, logs))
    return finals


def _print_recipe(name: str, image_size: int) -> None:
    from autogan_ray.config.recipe import load_recipe

    recipe = load_recipe(name)
    other = "" if recipe.image_size == image_size else f" (published for {recipe.image_size} px; here {image_size} px)"
    click.echo(f"recipe {name}: {recipe.description}{other}")
