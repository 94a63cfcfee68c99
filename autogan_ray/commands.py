"""``retrain`` and ``doctor``, with ``say`` for printing handed in by the command line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from autogan_ray.config import StudyConfig, parse_override
from autogan_ray.errors import ConfigError, ResultsError
from autogan_ray.plan import driver_device, make_plan
from autogan_ray.running import resolve_study

Say = Callable[[str], None]


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

    measure = prepare(config.data, config.metrics, driver_device(gpus))
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
    say_comparison(say, results, measure, results_of, driver_device(gpus))
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
