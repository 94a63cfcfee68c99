"""``run``: from what was typed to a study on disk, with ``say`` for printing handed in by the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from autogan_ray.base.errors import ConfigError, ResultsError
from autogan_ray.base.folders import check_storage, check_writable
from autogan_ray.config.study import StudyConfig, load_study_config, parse_override
from autogan_ray.results.trial_log import FINISHED, TrialLogs, name_of
from autogan_ray.study.limits import check_limits
from autogan_ray.study.plan import (
    Plan,
    check_networks,
    check_sizes,
    default_study,
    driver_device,
    image_form,
    make_plan,
    with_resources,
)
from autogan_ray.study.study_file import check_folder
from autogan_ray.tune.cluster import check_address

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
    _add(changes, "--trials", "tune.num_trials", trials)
    _add(changes, "--name", "name", name)
    _add(changes, "--seed", "seed", seed)
    _add(changes, "--space", "space", spaces[0] if len(spaces) == 1 else None)
    _add(changes, "--space", "sweep.space", {"choice": list(spaces)} if len(spaces) > 1 else None)
    return with_resources(load_study_config(study or default_study(gpus), changes), gpus, gpus_per_trial)


def _add(changes: dict[str, Any], option: str, key: str, value: Any) -> None:
    """Raises ConfigError where ``--set`` says something else than the option."""
    if value is None:
        return
    if changes.setdefault(key, value) != value:
        raise ConfigError(
            f"{option} {value} and --set {key}={changes[key]} contradict each other; leave one of them out"
        )


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
    if address is not None:
        check_address(address)
    plan = make_plan(config, out / config.name, gpus, cpus=None if address is None else 10**6)
    check_limits(plan)
    form = image_form(config)
    if form is not None:
        check_sizes(plan, form[0])
    check_writable(plan.folder, "--out")
    if dry_run:
        _say_plan(say, plan, resume)
        return 0
    fatal = {"GPUs": address is None, "extractor weights": config.metrics.weights is not None}
    for line in plan.missing:
        if fatal.get(line.partition(":")[0]):
            raise ConfigError(line)
    about = check_folder(config, plan.folder, resume, plan.spaces)
    if about and about["status"] == "complete":
        logs = {log.trial_id: log for log in TrialLogs(plan.folder)}
        planned = map(name_of, range(config.tune.num_trials))
        failed = [name for name in planned if name not in logs or logs[name].state not in FINISHED]
        if not failed:
            say(f"study {config.name!r} is complete already")
            _mend(say, plan.folder, about)
            return 0 if _say_summary(say, plan.folder) else 1
        say(
            f"study {config.name!r} is complete but for trials that failed or were lost, which are taken up again: "
            f"{', '.join(failed)}"
        )
    if resume and about is None:
        say(f"nothing to resume in {plan.folder}: the study begins")
    return _run(say, plan, address, storage, budget, command, about)


def _mend(say: Say, folder: Path, about: dict[str, Any]) -> None:
    from autogan_ray.results.tables import mend_tables

    lost = mend_tables(folder, about, TrialLogs(folder))
    if lost:
        say(f"built again from the trials' logs, as they were missing or damaged: {', '.join(lost)}")


def _run(
    say: Say,
    plan: Plan,
    address: str | None,
    storage: str | None,
    budget: float | None,
    command: str,
    about: dict[str, Any] | None,
) -> int:
    from autogan_ray.cli.text import header
    from autogan_ray.metrics.extractors.registry import extractor_named
    from autogan_ray.training.data import load_study_data
    from autogan_ray.tune.cluster import cluster

    study = plan.study
    say("preparing data, extractor and the statistics of the real images (kept for the next time)")
    images = load_study_data(study.data, study.metrics, study.search.batch_size)
    check_sizes(plan, images.image_size)
    extractor_named(study.metrics.extractor).check(study.metrics, labelled=images.labels is not None)
    if storage is not None:
        check_storage(storage)
    with cluster(plan, address) as dashboard:
        from autogan_ray.metrics.measure import measure_against
        from autogan_ray.tune.runner import Options, run_study

        measure = measure_against(images, study.metrics, driver_device(plan.gpus))
        check_networks(plan, images.image_size, images.channels)
        say(header(plan, dashboard))
        say("")
        options = Options(address, storage, budget, command)
        outcome = run_study(plan, measure, options, _Listener(plan), about)
    say("")
    scored = _say_summary(say, plan.folder)
    if outcome.interrupted:
        say(f"\nnot all trials are done; what is done is in {plan.folder}: the same command with --resume goes on")
        return 0 if outcome.over_budget else 130
    return 0 if scored else 1


class _Listener:
    """Prints a line an event; picklable for Ray, so it holds no function."""

    def __init__(self, plan: Plan) -> None:
        from autogan_ray.cli.text import Progress
        from autogan_ray.metrics.extractors.registry import metric_label

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


def _say_plan(say: Say, plan: Plan, resume: bool) -> None:
    from autogan_ray.cli.text import header

    missing = list(plan.missing)
    try:
        check_folder(plan.study, plan.folder, resume, plan.spaces)
    except ResultsError as error:
        missing.append(f"folder: {error}")

    say(json.dumps(plan.study.to_dict(), indent=2))
    say("")
    say(header(plan, None))
    say("\ncost       " + _cost_estimate(plan))
    say("missing    " + ("\n           ".join(missing) if missing else "nothing"))


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


def _say_failures(say: Say, logs: TrialLogs) -> None:
    """Why trials failed, the same reason once."""
    reasons: dict[str, list[str]] = {}
    for log in logs:
        if log.state == "error":
            first = str(log.status["error_message"]).partition("\n")[0]
            reasons.setdefault(f"{log.status['error_type']}: {first}", []).append(log.trial_id)
    for reason, trials in reasons.items():
        say(f"\nfailed: {', '.join(trials)}: {reason}")
    if reasons:
        say("(the whole message: column error_message of trials.parquet; the same command with --resume tries again)")


def _say_summary(say: Say, folder: Path) -> bool:
    """The trials, the best genotype, and how to go on; False where no trial has a score."""
    from autogan_ray.cli.text import trial_table
    from autogan_ray.metrics.extractors.registry import metric_label
    from autogan_ray.results.decidedness import decidedness
    from autogan_ray.results.drawing import draw
    from autogan_ray.results.rows import best_trial
    from autogan_ray.results.study_tables import load_study
    from autogan_ray.results.symptoms import symptoms

    logs = TrialLogs(folder)
    study = load_study(folder)
    extractor = str(study.studies["extractor"].iloc[0])
    say(trial_table(logs, metric_label(extractor)))
    _say_failures(say, logs)
    best = best_trial(logs)
    if best is None or best.best is None:
        say("no trial has a score; the table trials has their errors")
        return False
    from autogan_ray.spaces.genotype import Genotype

    say(f"\nbest: trial {best.trial_id}, {decidedness(best.best['decisions'])}")
    say(draw(Genotype.from_dict(best.best["genotype"])))
    for symptom in symptoms(best.records, int(study.studies["max_evaluations"].iloc[0])):
        say(f"warning: {symptom}")
    say(f"\ntables in {folder}; go on with")
    say(f"  python studies/retrain.py {folder}")
    say(f"  autogan-ray show {folder} {best.trial_id}")
    say(f"  python -c \"import pandas as pd; print(pd.read_parquet('{folder}/trials.parquet'))\"")
    return True
