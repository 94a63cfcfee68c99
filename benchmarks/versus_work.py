"""Doing the jobs of a comparison: one process each, one file each, whatever is done already left alone."""

from __future__ import annotations

import functools
import json
import multiprocessing
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click
import torch
from versus_plan import SEARCH, Plan, Task

from autogan_ray.base.errors import ConfigError
from autogan_ray.base.files import replace_text
from autogan_ray.base.processes import end_with_parent
from autogan_ray.base.provenance import git_commit
from autogan_ray.cli.text import clock, number
from autogan_ray.config.study import StudyConfig
from autogan_ray.metrics.evaluation import Evaluator, Protocol
from autogan_ray.metrics.features import Extractor
from autogan_ray.metrics.measure import Measure
from autogan_ray.nets.cost.count import genotype_cost
from autogan_ray.retraining.job import Job
from autogan_ray.retraining.training import Retraining
from autogan_ray.search.loop import SearchLoop
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.spaces.space import SearchSpace
from autogan_ray.training.checkpoint import load_state, save_state

_shared: list[Measure] = []
"""What this process scores against: set once, so that no job carries the images."""


@functools.cache
def _commit() -> str | None:
    """Returns the commit of the code that this process loaded: called at its start, for the files may change later."""
    return git_commit()


def share(measure: Measure) -> None:
    """Sets what the jobs of this process score against, and does what no job's time should hold."""
    _shared[:] = [measure]
    _commit()
    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])  # imports for seconds


def run_task(task: Task, out: Path) -> dict[str, Any]:
    """Does a job and writes its file. Returns the result, with the seconds that it took and the commit of the code."""
    if task.settings.get("device", "cpu") == "cpu":
        torch.set_num_threads(1)
    do = {SEARCH: _search, "retrain": _retrain, "inherited": _inherited}[task.kind]
    wall, cpu = time.perf_counter(), time.process_time()
    result = do(task, out)
    result |= {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu, "commit": _commit()}
    file = task.file(out)
    file.parent.mkdir(parents=True, exist_ok=True)
    document = {"kind": task.kind, "settings": task.settings, "result": result}
    replace_text(file, json.dumps(document, allow_nan=False) + "\n")
    return result


def _loop(settings: Mapping[str, Any]) -> SearchLoop:
    """Builds a search as a trial of a study runs it, without Ray."""
    study = StudyConfig.parse(settings["study"] | {"name": "versus"}, "study", ConfigError)
    measure, metrics, device = _shared[0], study.metrics, settings["device"]
    protocol = Protocol.of(study, metrics.n_fake_search)
    evaluator = Evaluator(Extractor(measure.extractor, device), measure.real, protocol, device)
    return SearchLoop(
        study.trial({}, settings["seed"]),
        SearchSpace.from_dict(settings["space"]),
        measure.data,
        evaluator,
        evaluations=study.tune.max_evaluations,
        rank_by=metrics.rank_by,
        supernet_every=metrics.supernet_every,
        device=device,
    )


def _search(task: Task, out: Path) -> dict[str, Any]:
    loop = _loop(task.settings)
    records = [record.to_dict() for record in loop.records()]
    if task.keep:
        save_state(_state_folder(task, out), loop.state_dict())
    return {"records": records}


def _state_folder(task: Task, out: Path) -> Path:
    return out / "supernets" / task.digest


def retraining_job(task: Task, out: Path) -> Job:
    """Makes a retraining of the package of a task. Its checkpoints lie in a folder of its own below ``out``."""
    settings = task.settings
    study = StudyConfig.parse(settings["study"] | {"name": "versus"}, "study", ConfigError)
    genotype, space = Genotype.from_dict(settings["genotype"]), SearchSpace.from_dict(settings["space"])
    folder, model = out / "running" / task.digest, study.model.model_dump()
    return Job("user", task.label, genotype, space, settings["seed"], None, model, study, folder, settings["device"])


def _retrain(task: Task, out: Path) -> dict[str, Any]:
    """Trains a genotype from scratch. The folder is there until the job is done: a killed one goes on where it was."""
    job = retraining_job(task, out)
    retraining, checkpoint = Retraining(job, _shared[0]), job.folder / "checkpoint"
    resumed = checkpoint.exists()
    if resumed:
        retraining.load_state_dict(load_state(checkpoint))
    for _ in retraining.points():
        save_state(checkpoint, retraining.state_dict())
    outcome = retraining.finish()
    shutil.rmtree(job.folder, ignore_errors=True)
    row = {key: value for key, value in outcome["row"].items() if not key.endswith("_path")}
    row |= genotype_cost(job.space, retraining.shape, job.genotype)
    return {"row": row, "resumed": resumed} | {key: outcome[key] for key in ("fid_untrained", "curve")}


def _inherited(task: Task, out: Path) -> dict[str, Any]:
    search = Task(SEARCH, task.label, task.settings["search"])
    folder = _state_folder(search, out)
    loop = _loop(search.settings)
    if folder.exists():
        loop.load_state_dict(load_state(folder))
    else:  # searched by a call that did not ask for it: the same search again
        for _ in loop.records():
            pass
        save_state(folder, loop.state_dict())
    genotypes = [Genotype.from_dict(values) for values in task.settings["genotypes"]]
    return {"fids": {genotype.genotype_id: loop.scorer.derived(genotype).fid for genotype in genotypes}}


Outcome = tuple[Task, dict[str, Any] | str]
"""A job with its result, or with the text of its error."""


def attempt(task: Task, out: Path) -> Outcome:
    """Does a job; a job that fails stops no other."""
    try:
        return task, run_task(task, out)
    except Exception as error:
        return task, f"{type(error).__name__}: {error}"


def _pool(workers: int, measure: Measure) -> AbstractContextManager[Executor | None]:
    """Starts processes that score against ``measure``; gives None for one worker, which needs no second process."""
    if workers == 1:
        share(measure)
        return nullcontext()
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(measure,))


def _begin(measure: Measure) -> None:
    # An interrupted worker just ends: the parent says what there is to say.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    end_with_parent()
    share(measure)


def _outcomes(pool: Executor | None, tasks: Sequence[Task], out: Path) -> Iterator[Outcome]:
    """Yields the outcome of each task as it ends. Raises BrokenProcessPool where a process was killed."""
    if pool is None:
        yield from (attempt(task, out) for task in tasks)
        return
    futures = [pool.submit(attempt, task, out) for task in tasks]
    try:
        yield from (future.result() for future in as_completed(futures))
    finally:  # an interrupted call begins no further job
        for future in futures:
            future.cancel()


def run_missing(plan: Plan, measure: Measure, out: Path, workers: int) -> bool:
    """Does every job of a plan that has no file yet, and prints a line as each ends. Returns whether a job failed.

    There are three rounds: retrainings of searched genotypes follow from the searches, inherited scores from both.
    """

    def retrainings() -> list[Task]:
        return [task for network in plan.networks(out) for task in plan.retrainings(network)]

    rounds: tuple[Callable[[], Iterable[Task]], ...] = (
        lambda: [*(task for _, _, task in plan.searches()), *retrainings()],
        retrainings,
        lambda: plan.inherited_scores(out).values(),
    )
    return do_missing(rounds, measure, out, workers, plan.retrain_seeds)


def do_missing(
    rounds: Sequence[Callable[[], Iterable[Task]]], measure: Measure, out: Path, workers: int, after_search: int = 0
) -> bool:
    """Does the jobs of each round that have no file yet, and prints a line as each ends. Returns whether one failed.

    Args:
        rounds: functions that are called when the round before is done.
        after_search: how many jobs follow from a search, to tell how long it will take.
    """
    failed, ended, begin = set[str](), 0, time.perf_counter()
    try:
        with _pool(workers, measure) as pool:
            for tasks in rounds:
                unique = {task.digest: task for task in tasks() if task.digest not in failed}  # arms may share a job
                missing = [task for task in unique.values() if task.result(out) is None]
                ahead = len(missing) + after_search * sum(task.kind == SEARCH for task in missing)
                for task, result in _outcomes(pool, missing, out):
                    if isinstance(result, str):
                        failed.add(task.digest)
                    ended, ahead, spent = ended + 1, ahead - 1, time.perf_counter() - begin
                    left = f", about {clock(spent / ended * ahead)} left" if ahead else ""
                    place = f"[{clock(spent)}] {ended}/{ended + ahead}"
                    click.echo(f"{place} {task.kind} {task.label}: {_told(result)}{left}", err=True)
    except BrokenProcessPool:
        click.echo("a worker process was killed (out of memory?); the same call goes on from here", err=True)
        return True
    return bool(failed)


def _told(result: dict[str, Any] | str) -> str:
    """Says the last score of a job and its seconds, or its error."""
    if isinstance(result, str):
        return f"FAILED, {result}"
    scores = [result["row"]] if "row" in result else result.get("records", [{}])
    return f"{number(scores[-1].get('fid'))} ({result['wall_s']:.1f} s)"
