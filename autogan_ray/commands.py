"""What the verbs do, with ``say`` for printing handed in by the command line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from autogan_ray import catalog
from autogan_ray.config import StudyConfig, load_study_config, parse_override
from autogan_ray.errors import ConfigError, ResultsError
from autogan_ray.plan import Plan, check_folder, check_networks, default_study, make_plan, with_resources

Say = Callable[[str], None]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def resolve_study(
    study: str | None,
    gpus: int,
    gpus_per_trial: float | None,
    trials: int | None,
    name: str | None,
    seed: int | None,
    overrides: Sequence[str],
    spaces: Sequence[str],
) -> StudyConfig:
    """The study with everything the command line says. Raises ConfigError, NotFoundError."""
    changes = dict(parse_override(text) for text in overrides)
    if trials is not None:
        changes["tune.num_trials"] = trials
    if name is not None:
        changes["name"] = name
    if seed is not None:
        changes["seed"] = seed
    if len(spaces) == 1:
        changes["space"] = spaces[0]
    elif spaces:
        changes["sweep.space"] = {"choice": list(spaces)}
    return with_resources(load_study_config(study or default_study(gpus), changes), gpus, gpus_per_trial)


def run_command(
    say: Say,
    *,
    study: str | None,
    gpus: int,
    gpus_per_trial: float | None,
    trials: int | None,
    name: str | None,
    out: Path,
    storage: str | None,
    address: str | None,
    seed: int | None,
    overrides: Sequence[str],
    spaces: Sequence[str],
    time_budget: str | None,
    max_gpu_hours: float | None,
    resume: bool,
    dry_run: bool,
    command: str,
) -> int:
    """``run``: exit code 0, or 130 where the study was interrupted."""
    if study is None:
        say(f"no study named: taking {default_study(gpus)!r} ({'with' if gpus else 'no'} GPUs)")
    config = resolve_study(study, gpus, gpus_per_trial, trials, name, seed, overrides, spaces)
    budget = _budget(time_budget, max_gpu_hours, gpus)
    plan = make_plan(config, out / config.name, gpus, cpus=None if address is None else 10**6)
    if dry_run:
        _say_plan(say, plan)
        return 0
    lacking = [line for line in plan.missing if line.startswith("GPUs") and address is None]
    if lacking:
        raise ConfigError(lacking[0])
    about = check_folder(config, plan.folder, resume)
    if about and about["status"] == "complete":
        say(f"study {config.name!r} is complete already")
        _say_summary(say, plan.folder)
        return 0
    return _run(say, plan, address, storage, budget, command, about)


def _run(
    say: Say,
    plan: Plan,
    address: str | None,
    storage: str | None,
    budget: float | None,
    command: str,
    about: dict[str, Any] | None,
) -> int:
    from autogan_ray.console import header
    from autogan_ray.metrics.study import prepare
    from autogan_ray.training.data import check_enough
    from autogan_ray.tune.runner import Options, cluster, run_study

    measure = prepare(plan.study.data, plan.study.metrics)
    check_enough(measure.data, plan.study.search.batch_size, halves=True)
    check_networks(plan, measure.data.image_size, measure.data.channels)
    with cluster(plan, address) as dashboard:
        say(header(plan, dashboard))
        say("")
        options = Options(address, storage, budget, command)
        outcome = run_study(plan, measure, options, _Listener(plan), about)
    say("")
    _say_summary(say, plan.folder)
    if outcome.interrupted:
        say(
            f"\nnot all trials are done; everything so far is in {plan.folder}: go on with the same command and --resume"
        )
    return 130 if outcome.interrupted and budget is None else 0


class _Listener:
    """Prints a line an event; picklable for Ray, so it holds no function."""

    def __init__(self, plan: Plan) -> None:
        from autogan_ray.console import Progress
        from autogan_ray.metrics.labels import metric_label

        metric = metric_label(plan.study.metrics.extractor)
        self._progress = Progress(plan.study.tune.num_trials, plan.slots, metric)

    def __call__(self, event: dict[str, Any]) -> None:
        import click

        click.echo(self._progress.line(event))


def _budget(time_budget: str | None, max_gpu_hours: float | None, gpus: int) -> float | None:
    """Seconds the study may take; the smaller of both limits."""
    limits = []
    if time_budget is not None:
        value, unit = time_budget[:-1], time_budget[-1:]
        try:
            limits.append(float(value) * _UNITS[unit])
        except (KeyError, ValueError):
            raise ConfigError(f"--time-budget {time_budget!r}: write a number and s, m, h or d, such as 8h") from None
    if max_gpu_hours is not None:
        if gpus == 0:
            raise ConfigError(f"--max-gpu-hours {max_gpu_hours:g} without GPUs; use --time-budget, or give --gpus")
        limits.append(max_gpu_hours * 3600 / gpus)
    if any(limit <= 0 for limit in limits):
        raise ConfigError(f"--time-budget {time_budget!r} must be above 0")
    return min(limits, default=None)


def _say_plan(say: Say, plan: Plan) -> None:
    from autogan_ray.console import header

    say(json.dumps(plan.study.to_dict(), indent=2))
    say("")
    say(header(plan, None))
    say("\ncost       " + _cost_estimate(plan))
    say("missing    " + ("\n           ".join(plan.missing) if plan.missing else "nothing"))


def _cost_estimate(plan: Plan) -> str:
    """In images, which need no clock: what all trials would show, and what ASHA is expected to leave of it."""
    tune, search = plan.study.tune, plan.study.search
    whole = tune.num_trials * search.kimg
    if tune.scheduler == "none":
        return f"{whole:g} kimg in all"
    # Successive halving: of n trials, n / factor go on from each rung.
    spent, going, before, rung = 0.0, float(tune.num_trials), 0.0, float(tune.grace)
    while rung < tune.max_evaluations:
        spent += going * (rung - before)
        before, going, rung = rung, max(1.0, going / tune.reduction_factor), rung * tune.reduction_factor
    spent += going * (tune.max_evaluations - before)
    share = spent / (tune.num_trials * tune.max_evaluations)
    return f"{whole:g} kimg without pruning; at least {whole * share:.4g} kimg ({share:.0%}) with ASHA"


def _say_summary(say: Say, folder: Path) -> None:
    from autogan_ray.console import trial_table
    from autogan_ray.metrics.labels import metric_label
    from autogan_ray.results.build import best_trial
    from autogan_ray.results.decided import decidedness
    from autogan_ray.results.drawing import draw
    from autogan_ray.results.store import load_study
    from autogan_ray.results.trial_log import TrialLogs

    logs = TrialLogs(folder)
    extractor = str(load_study(folder).studies["extractor"].iloc[0])
    say(trial_table(logs, metric_label(extractor)))
    best = best_trial(logs)
    if best is None or best.best is None:
        say("no trial has a score")
        return
    from autogan_ray.genotype import Genotype

    say(f"\nbest: trial {best.trial_id}, {decidedness(best.best['decisions'])}")
    say(draw(Genotype.from_dict(best.best["genotype"])))
    say(f"\ntables in {folder}; go on with")
    say(f"  python studies/retrain.py {folder}")
    say(f"  autogan-ray show {folder} {best.trial_id}")
    say(f"  python -c \"import pandas as pd; print(pd.read_parquet('{folder}/trials.parquet'))\"")


def retrain_command(
    say: Say,
    *,
    results: Path,
    trial: str | None,
    top: int,
    genotypes: Sequence[str],
    seeds: int,
    kimg: float | None,
    discriminator: str | None,
    gpus: int,
    overrides: Sequence[str],
    resume: bool,
) -> int:
    """``retrain``: rows appended to ``evaluations``; exit code 0."""
    from autogan_ray.plan import gpu_shortage
    from autogan_ray.reporting import say_comparison
    from autogan_ray.results.store import append_rows, load_study
    from autogan_ray.retrain import run_jobs, wanted_jobs

    shortage = gpu_shortage(gpus)
    if shortage:
        raise ConfigError(shortage)
    study = load_study(results)
    config = _retrain_config(study.config, kimg, discriminator, overrides)
    trial = trial or (None if genotypes else "best")
    jobs = wanted_jobs(study, trial=trial, top=top, genotypes=genotypes, seeds=seeds, config=config)

    from autogan_ray.metrics.study import prepare

    measure = prepare(config.data, config.metrics)
    if measure.data.digest != study.studies["dataset_digest"].iloc[0]:
        raise ResultsError(
            f"data {config.data.source!r} is not what it was when {results} was searched: digests differ"
        )
    devices = [f"cuda:{index}" for index in range(gpus)] or ["cpu"] * (os.cpu_count() or 1)
    devices = devices[: max(1, len(jobs))]
    say(f"retraining {len(jobs)} networks, {config.retrain.kimg:g} kimg each, {len(devices)} side by side")

    def tell(job: Any, result: dict[str, Any]) -> None:
        from autogan_ray.console import number

        say(f"  {job.name} (genotype {job.genotype.genotype_id}), seed {job.seed}: {number(result['row']['fid'])}")

    results_of = run_jobs(jobs, measure, devices, resume, tell)
    from autogan_ray.results.build import moment

    study_id = str(study.studies["study_id"].iloc[0])
    rows = [r["row"] | {"study_id": study_id, "timestamp": moment(r["row"]["timestamp"])} for r in results_of]
    append_rows(results, "evaluations", rows)
    say("")
    say_comparison(say, results, measure, results_of, [job.evaluation_id for job in jobs])
    return 0


def _retrain_config(
    stored: dict[str, Any], kimg: float | None, discriminator: str | None, overrides: Sequence[str]
) -> StudyConfig:
    from autogan_ray.config import assign

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


def spaces_command(say: Say, name: str | None, image_size: int, as_json: bool) -> None:
    """``spaces``: what is shipped, or the decisions of one."""
    from autogan_ray.reporting import say_space, say_spaces

    if name is None:
        say_spaces(say, catalog.names("space"), image_size, as_json)
    else:
        say_space(say, name, image_size, as_json)


def list_command(say: Say, folder: Path, as_json: bool) -> None:
    """``list``: studies in a folder."""
    from autogan_ray.reporting import say_studies

    say_studies(say, folder, as_json)


def show_command(say: Say, results: Path, trial: str | None, as_json: bool) -> None:
    """``show``: a study's trials, or one trial."""
    from autogan_ray.reporting import say_study, say_trial

    if trial is None:
        say_study(say, results, as_json)
    else:
        say_trial(say, results, trial, as_json)


def genotypes_command(say: Say, name: str, channels: int, latent: int, as_json: bool) -> None:
    """``genotypes``: one genotype drawn, with its cost."""
    from autogan_ray.reporting import say_genotype

    say_genotype(say, name, channels, latent, as_json)


def generate_command(say: Say, checkpoint: Path, num: int, out: Path, seed: int) -> None:
    """``generate``: PNG files of a generator."""
    from autogan_ray.sampling import write_images

    say(f"{write_images(checkpoint, num, out, seed)} images in {out}")


def evaluate_command(say: Say, checkpoint: Path, num: int | None) -> None:
    """``evaluate``: the scores of a generator inside its study's folder."""
    from autogan_ray.reporting import say_scores

    say_scores(say, checkpoint, num)
