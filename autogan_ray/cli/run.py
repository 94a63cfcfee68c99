"""``run``: from what was typed to a finished study on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autogan_ray.base.errors import ConfigError, ResultsError
from autogan_ray.base.room import room_wanted
from autogan_ray.base.signals import INTERRUPTED
from autogan_ray.cli import commands, options
from autogan_ray.cli.progress import Progress
from autogan_ray.cli.text import echo, failures, trial_table

if TYPE_CHECKING:
    from autogan_ray.config.study import StudyConfig
    from autogan_ray.study.plan import Plan
    from autogan_ray.training.images.sources import Glance
    from autogan_ray.tune.runner import Outcome

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_S = 10_000 * 86400


@click.command()
@options.study
@options.gpus
@click.option("--gpus-per-trial", type=options.Number(min=0, min_open=True), help="Share of a GPU, or a number.")
@click.option("--trials", type=options.Count(min=1), help="Number of trials; with --resume also more than before.")
@click.option("--name", help="Name of the study's folder.")
@options.out(default=options.OUT, show_default=True)
@click.option("--storage", help="Path or URI for checkpoints that all nodes can reach.")
@click.option("--address", help="Address of a running Ray cluster, such as auto.")
@options.seed(help="Seed of the study.")
@options.settings("Change a setting; repeatable.")
@click.option("--space", "spaces", multiple=True, help="Search these spaces only; repeatable.")
@click.option("--time-budget", help="End after so long: 90s, 30m, 8h.")
@click.option("--max-gpu-hours", type=options.Number(min=0, min_open=True), help="End after so many GPU hours.")
@options.resume("Go on with the study in the folder; what failed is tried again.")
@click.option("--new", is_flag=True, help="With --resume: begin the study where there is none yet.")
@click.option("--dry-run", is_flag=True, help="Show the resolved study, its cost and what is missing; run nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: every setting, as JSON.")
def run(
    study: str | None,
    gpus: int,
    out: Path,
    storage: str | None,
    address: str | None,
    time_budget: str | None,
    max_gpu_hours: float | None,
    resume: bool,
    new: bool,
    dry_run: bool,
    as_json: bool,
    **changes: Any,
) -> None:
    """Run a STUDY: a shipped name or a file (default: cifar10 with GPUs, digits without)."""
    from autogan_ray.base import catalog
    from autogan_ray.results.lock import check_free
    from autogan_ray.study.plan import default_study

    if as_json and not dry_run:
        raise ConfigError("--json shows a study, and runs none; give --dry-run as well")
    if study is None:
        taken = f"no study named: taking {default_study(gpus)!r} ({'with' if gpus else 'no'} GPUs)"
        echo(taken, err=as_json)
    elif study not in catalog.names("study") and options.is_study(Path(study)):
        raise ConfigError(_how_to_resume(Path(study)))
    config = resolve_study(study, gpus, **changes)
    may_begin = new or not resume or out / config.name == Path(options.OUT) / _own_name(study, gpus)
    budget = _budget(time_budget, max_gpu_hours, gpus)
    plan, data = _checked_plan(config, out, gpus, address)
    if dry_run:
        raise SystemExit(_print_plan(plan, data, resume, may_begin, as_json))
    check_free(plan.folder)
    about = _earlier_run(plan, resume, may_begin, address)
    if about and about["status"] == "complete":
        unfinished = _unfinished_trials(plan)
        if not unfinished:
            echo(f"study {config.name!r} is complete already")
            _mend_tables(plan.folder, about)
            raise SystemExit(0 if _print_summary(plan.folder, gpus) else 1)
        echo(
            f"study {config.name!r} is complete but for trials that failed or were lost, which are run again: "
            f"{', '.join(unfinished)}"
        )
    if resume and about is None:
        echo(f"nothing to resume in {plan.folder}: the study begins")
    with commands.resumable(plan.folder), room_wanted(plan.folder):
        raise SystemExit(_run(plan, address, storage, budget, about))


def resolve_study(
    study: str | None,
    gpus: int,
    *,
    gpus_per_trial: float | None = None,
    trials: int | None = None,
    name: str | None = None,
    seed: int | None = None,
    overrides: Sequence[str] = (),
    spaces: Sequence[str] = (),
) -> StudyConfig:
    """The study's configuration with everything that the command line sets. Raises ConfigError, NotFoundError."""
    from autogan_ray.config.overrides import parse_override
    from autogan_ray.config.study import load_study_config
    from autogan_ray.study.plan import default_study, with_resources

    changes = dict(parse_override(text) for text in overrides)
    _add(changes, "--trials", "tune.num_trials", trials)
    _add(changes, "--name", "name", name)
    _add(changes, "--seed", "seed", seed)
    _add(changes, "--space", "space", spaces[0] if len(spaces) == 1 else None)
    _add(changes, "--space", "sweep.space", {"choice": list(spaces)} if len(spaces) > 1 else None)
    return with_resources(load_study_config(study or default_study(gpus), changes), gpus, gpus_per_trial)


def _add(changes: dict[str, Any], option: str, key: str, value: Any) -> None:
    """Adds the value of an option. Raises ConfigError where ``--set`` gives the same setting another value."""
    if value is None:
        return
    if changes.setdefault(key, value) != value:
        raise ConfigError(
            f"{option} {value} and --set {key}={changes[key]} contradict each other; leave one of the two out"
        )


def _budget(time_budget: str | None, max_gpu_hours: float | None, gpus: int) -> tuple[float, str] | None:
    """The smaller of both limits: seconds that the study may take, and the option as typed. Raises ConfigError."""
    limits = []
    if time_budget is not None:
        value, unit = time_budget[:-1], time_budget[-1:]
        try:
            limits.append((float(value) * _UNITS[unit], f"--time-budget {time_budget}"))
        except (KeyError, ValueError):
            raise ConfigError(f"--time-budget {time_budget!r}: write a number and s, m, h or d, such as 8h") from None
    if max_gpu_hours is not None:
        if gpus == 0:
            raise ConfigError(f"--max-gpu-hours {max_gpu_hours:g} without GPUs; use --time-budget, or give --gpus")
        limits.append((max_gpu_hours * 3600 / gpus, f"--max-gpu-hours {max_gpu_hours:g}"))
    for seconds, option in limits:
        if not 0 < seconds < _LONGEST_S:
            raise ConfigError(f"{option}: it must be above 0, and below {_LONGEST_S / 86400:g} days")
    return min(limits, default=None)


def _checked_plan(config: StudyConfig, out: Path, gpus: int, address: str | None) -> tuple[Plan, Glance | None]:
    """The plan of a study, held to all that is known before data is loaded and Ray starts; and a look at its data."""
    from autogan_ray.base.folders import check_writable
    from autogan_ray.study.limits import check_limits
    from autogan_ray.study.plan import check_sizes, look_at_data, make_plan
    from autogan_ray.tune.cluster import check_address, check_start
    from autogan_ray.tune.tracking import check_key

    if address is None:
        check_start()
    else:
        check_address(address)
    check_key(config.tracking)
    plan = make_plan(config, out / config.name, gpus, cpus=None if address is None else 10**6)
    data = look_at_data(config)
    if data is not None:
        check_limits(plan, data.image_size, data.channels)
        check_sizes(plan, data.image_size)
    check_writable(plan.folder, "--out")
    return plan, data


def _own_name(study: str | None, gpus: int) -> str:
    """The name that a study's file gives it."""
    from autogan_ray.base import catalog
    from autogan_ray.base.reading import parse_toml
    from autogan_ray.study.plan import default_study

    document = catalog.read("study", study or default_study(gpus))
    return str(parse_toml(document.text, document.origin, ConfigError).get("name"))


def _how_to_resume(folder: Path) -> str:
    """The message on a study's folder where a study is wanted."""
    from autogan_ray.study.study_file import read_about

    try:
        about = read_about(folder)
        again = commands.resumed(about["command"], about["name"], folder)
    except (OSError, ValueError, KeyError):
        return f"{str(folder)!r} is a study's folder; give the study's name or file, with --resume"
    return f"{str(folder)!r} is a study's folder; go on with it by its own command:\n  {again}"


def _earlier_run(plan: Plan, resume: bool, may_begin: bool, address: str | None) -> dict[str, Any] | None:
    """What ``study.json`` says of an earlier run to go on with; None for a new study.

    Raises ConfigError where something is missing that a run cannot get by itself, ResultsError for a folder in use, and
    where no study is there and none may begin.
    """
    from autogan_ray.metrics.extractors.registry import extractor_named
    from autogan_ray.study.study_file import check_folder, check_logs

    metrics = plan.study.metrics
    no_weights = extractor_named(metrics.extractor).unobtainable(metrics) is not None
    fatal = {"GPUs": address is None, "extractor weights": no_weights, "tracking": True}
    for line in plan.missing:
        if fatal.get(line.partition(":")[0]):
            raise ConfigError(line)
    about = check_folder(plan.study, plan.folder, resume, plan.spaces, may_begin)
    if about is not None:
        check_logs(plan.folder, about)
    return about


def _unfinished_trials(plan: Plan) -> list[str]:
    """The trials of a complete study that have no whole result: they failed, or their logs are lost or damaged."""
    from autogan_ray.results.trial_log import FINISHED, TrialLogs, name_of

    logs = {log.trial_id: log for log in TrialLogs(plan.folder)}
    planned = map(name_of, range(plan.study.tune.num_trials))
    return [name for name in planned if name not in logs or logs[name].state not in FINISHED or logs[name].faults]


def _mend_tables(folder: Path, about: dict[str, Any]) -> None:
    """Records what this call sets otherwise than the last one, and builds tables again that are missing or damaged."""
    from autogan_ray.results.tables import mend_tables, write_tables
    from autogan_ray.results.trial_log import TrialLogs
    from autogan_ray.study.study_file import read_about, write_about

    logs = TrialLogs(folder)
    if about != read_about(folder):
        write_about(folder, about)
        write_tables(folder, about, logs)
    lost = mend_tables(folder, about, logs)
    if lost:
        echo(f"built again from the trials' logs, as they were missing or damaged: {', '.join(lost)}")


def _run(
    plan: Plan,
    address: str | None,
    storage: str | None,
    budget: tuple[float, str] | None,
    about: dict[str, Any] | None,
) -> int:
    """Prepares data and metric, starts Ray, runs the study; returns the exit code.

    Args:
        budget: seconds, and the option that sets them; None for no limit.
        about: of the earlier run to go on with; None for a new study.
    """
    from autogan_ray.base.folders import check_storage
    from autogan_ray.cli.cost import cost_text
    from autogan_ray.metrics.extractors.registry import extractor_named
    from autogan_ray.study.plan import check_networks, check_sizes, driver_device
    from autogan_ray.study.study_extractor import other_extractor, study_extractor
    from autogan_ray.study.study_file import check_same_data, other_optuna
    from autogan_ray.training.data import load_study_data
    from autogan_ray.tune.cluster import cluster

    study, metrics = plan.study, plan.study.metrics
    if about is not None and (warning := other_optuna(about, study)):
        echo(f"warning: {warning}", err=True)
    echo("preparing data, extractor and the statistics of the real images (kept for the next time)")
    images = load_study_data(study.data, metrics, max(study.possible("search.batch_size")))
    if about is not None:
        check_same_data(about, images, plan.folder)
    check_sizes(plan, images.image_size)
    extractor_named(metrics.extractor).check(metrics, classes=images.classes)
    if storage is not None:
        check_storage(storage)
    with cluster(plan, address, storage) as dashboard:
        from autogan_ray.metrics.measure import measure_against
        from autogan_ray.study.cost import expected_times
        from autogan_ray.tune.ray_internals import changed_internals
        from autogan_ray.tune.runner import Options, run_study

        for line in changed_internals():
            echo(f"warning: {line}", err=True)
        weights = study_extractor(about or {}, plan.folder, images, metrics)
        if about is not None and (warning := other_extractor(about, weights)):
            echo(f"warning: {warning}", err=True)
        measure = measure_against(images, metrics, driver_device(plan.gpus), weights)
        check_networks(plan, images.image_size, images.channels)
        echo(_header(plan, images.described(), dashboard))
        if about is None:
            echo("cost       " + cost_text(plan, expected_times(plan, images)))
        echo("")
        run_options = Options(address, storage, budget[0] if budget else None, commands.typed())
        outcome = run_study(plan, measure, run_options, Progress(plan), about)
    echo("")
    return _print_end(plan, outcome, budget, _print_summary(plan.folder, plan.gpus))


def _print_end(plan: Plan, outcome: Outcome, budget: tuple[float, str] | None, scored: bool) -> int:
    """Says why trials are left, where some are; returns the exit code."""
    if outcome.given_up:
        echo(f"\nended, as the trials that are left would fail too: {outcome.given_up}", err=True)
        echo(f"then go on with\n  {commands.again('--resume')}", err=True)
        return 1
    if outcome.interrupted:
        lead = f"the budget {budget[1]} is spent: " if budget and outcome.over_budget else ""
        echo(
            f"\n{lead}not all trials are done ({outcome.ended} of {plan.study.tune.num_trials}; evaluations so far: "
            f"{outcome.evaluations}); what is done is in {plan.folder}; go on with"
        )
        echo(f"  {commands.again('--resume')}")
        return 0 if outcome.over_budget else INTERRUPTED
    return 0 if scored else 1


def _header(plan: Plan, data: str, dashboard: str | None) -> str:
    """What is about to run, where, and on which data."""
    from autogan_ray.metrics.extractors.registry import metric_label

    study, tune = plan.study, plan.study.tune
    share = f", {tune.gpus_per_trial:g} GPU each" if plan.gpus else ", CPU only"
    pruning = f"pruned by {tune.prune_by}" if tune.scheduler == "asha" else "none pruned"
    lines = [
        f"study      {study.name}: {tune.num_trials} trials of up to {tune.max_evaluations} evaluations, "
        f"{study.search.kimg:g} kimg each",
        f"spaces     {', '.join(plan.spaces)}",
        f"data       {data}",
        f"metric     {metric_label(study.metrics.extractor)}, {study.metrics.n_fake_search} fakes an evaluation, "
        f"of the {study.metrics.rank_by} network",
        *([f"objectives {', '.join(tune.objectives)}: {tune.searcher}, {pruning}"] if tune.cost else []),
        f"resources  {plan.gpus} GPUs, {plan.slots} trials side by side{share}",
        f"folder     {plan.folder}",
    ]
    if dashboard:
        lines.append(f"dashboard  http://{dashboard}   (its token: {commands.installed('ray')} get-auth-token)")
    return "\n".join(lines)


def _print_plan(plan: Plan, data: Glance | None, resume: bool, may_begin: bool, as_json: bool) -> int:
    """Prints the resolved study, its cost and what is missing; returns the exit code, 1 where something is."""
    from autogan_ray.cli.cost import cost_numbers, cost_text
    from autogan_ray.config.toml import to_toml
    from autogan_ray.study.cost import expected_times
    from autogan_ray.study.study_file import check_folder

    missing = list(plan.missing)
    try:
        check_folder(plan.study, plan.folder, resume, plan.spaces, may_begin)
    except ResultsError as error:
        missing.append(f"folder: {error}")

    times = expected_times(plan, data) if data else "the images are not here yet"
    described = data.described() if data else plan.study.data.source
    if as_json:
        shown = {"study": plan.study.to_dict(), "data": described, "cost": cost_numbers(plan, times)}
        echo(json.dumps(shown | {"missing": missing}, indent=2))
        return 1 if missing else 0
    echo(to_toml(plan.study))
    echo("(what is not shown is as by default; everything: --json)\n")
    echo(_header(plan, described, None))
    echo("\ncost       " + cost_text(plan, times))
    echo("missing    " + ("\n           ".join(missing) if missing else "nothing"))
    return 1 if missing else 0


def _print_summary(folder: Path, gpus: int) -> bool:
    """Prints the trials, the best genotype, and how to go on; returns False where no trial has a score."""
    from autogan_ray.results.decidedness import decidedness
    from autogan_ray.results.drawing import draw
    from autogan_ray.results.rows import best_trial
    from autogan_ray.results.study import load_study
    from autogan_ray.results.symptoms import symptoms
    from autogan_ray.results.trial_log import TrialLogs
    from autogan_ray.spaces.genotype import Genotype
    from autogan_ray.study.study_file import read_spaces

    logs = TrialLogs(folder)
    study = load_study(folder)
    metric = str(study.about["metric"])
    echo(trial_table(study.trials, metric, study.integer("grace_evaluations"), study.second_objective))
    failed = False
    for line in failures(logs):
        echo(f"\n{line}")
        failed = failed or line.startswith("failed")
    if failed:
        again = commands.again("--resume")
        echo(f"(the whole message: column error_message of trials.parquet) try again with\n  {again}")
    best = best_trial(logs)
    if best is None or best.best is None:
        echo("no trial has a score; the table trials has their errors")
        return False
    best = logs.whole(best.trial_id)
    assert best.best is not None
    echo(f"\nbest: trial {best.trial_id}, {decidedness(best.best['decisions'])}")
    echo(draw(Genotype.from_dict(best.best["genotype"])))
    config, planned = best.about["config"], study.integer("max_evaluations")
    space = read_spaces(folder).get(config["space"])
    for symptom in symptoms(best.records, planned, space, config) if space is not None else ():
        echo(f"warning: {symptom}")
    echo(f"\ntables in {folder}; go on with")
    trials = json.dumps(str(folder / "trials.parquet"), ensure_ascii=False)
    which = ["--front"] if study.second_objective else []
    echo("  " + commands.command("retrain", folder, *which, *(["--gpus", str(gpus)] if gpus else [])))
    echo("  " + commands.command("report", folder))
    echo("  " + commands.command("show", folder, best.trial_id))
    echo("  " + commands.python(f"import pandas as pd; print(pd.read_parquet({trials}))"))
    return True
