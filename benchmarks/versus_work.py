"""Doing the jobs of a comparison: one process each, one file each, whatever is done already left alone."""

from __future__ import annotations

import functools
import inspect
import json
import multiprocessing
import shutil
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

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

Say = Callable[[str], None]
_shared: list[Measure] = []
"""What this process scores against: set once, so that no job carries the images."""


@functools.cache
def _commit() -> str | None:
    """Of the code as this process loaded it: asked for at its start, for the files may change while it runs."""
    return git_commit()


def share(measure: Measure) -> None:
    _shared[:] = [measure]
    _commit()
    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])  # imports for seconds, which no job's time should hold


def run_task(task: Task, out: Path) -> dict[str, Any]:
    """Do it and write its file; gives what the file holds."""
    if task.settings.get("device", "cpu") == "cpu":
        torch.set_num_threads(1)
    done = {SEARCH: _search, "retrain": _retrain, "inherited": _inherited}[task.kind]
    wall, cpu = time.perf_counter(), time.process_time()
    result = done(task, out)
    result |= {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu, "commit": _commit()}
    file = task.file(out)
    file.parent.mkdir(parents=True, exist_ok=True)
    document = {"kind": task.kind, "settings": task.settings, "result": result}
    replace_text(file, json.dumps(document, allow_nan=False) + "\n")
    return document


def _loop(settings: Mapping[str, Any]) -> SearchLoop:
    """A search as a trial of a study runs it, without Ray."""
    study = StudyConfig.parse(settings["study"] | {"name": "versus"}, "study", ConfigError)
    measure, metrics, device = _shared[0], study.metrics, settings["device"]
    protocol = Protocol.of(study, metrics.n_fake_search)
    evaluator = Evaluator(Extractor(measure.extractor, device), measure.real, protocol, device)
    # Whatever the loop wants to know of [metrics] (rank_by, how often the mixture is scored), by the same names.
    wanted = set(inspect.signature(SearchLoop).parameters) & set(type(metrics).model_fields)
    return SearchLoop(
        study.trial({}, settings["seed"]),
        SearchSpace.from_dict(settings["space"]),
        measure.data,
        evaluator,
        evaluations=study.tune.max_evaluations,
        device=device,
        **{name: getattr(metrics, name) for name in wanted},
    )


def _search(task: Task, out: Path) -> dict[str, Any]:
    loop = _loop(task.settings)
    records = [record.to_dict() for record in loop.records()]
    if task.keep:
        save_state(_state_folder(task, out), loop.state_dict())
    return {"records": records}


def _state_folder(task: Task, out: Path) -> Path:
    return out / "supernets" / task.digest


def _retrain(task: Task, out: Path) -> dict[str, Any]:
    """Its checkpoint lies in a folder of the job's own until it is done: a killed one goes on where it was."""
    settings = task.settings
    study = StudyConfig.parse(settings["study"] | {"name": "versus"}, "study", ConfigError)
    genotype, space = Genotype.from_dict(settings["genotype"]), SearchSpace.from_dict(settings["space"])
    folder, model = out / "running" / task.digest, study.model.model_dump()
    job = Job("user", task.label, genotype, space, settings["seed"], None, model, study, folder, settings["device"])
    retraining = Retraining(job, _shared[0])
    resumed = (folder / "checkpoint").exists()
    found = retraining.run()
    cost = genotype_cost(space, retraining.shape, genotype)
    shutil.rmtree(folder, ignore_errors=True)
    row = {key: value for key, value in found["row"].items() if not key.endswith("_path")}
    return {"row": row | cost, "fid_untrained": found["fid_untrained"], "resumed": resumed}


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
    genotypes = [Genotype.from_dict(one) for one in task.settings["genotypes"]]
    return {"fids": {one.genotype_id: loop.scorer.derived(one).fid for one in genotypes}}


class _Here(Executor):
    """Does a job where it is submitted: for one worker, which needs no second process."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:  # a job that fails stops no other
            future.set_exception(error)
        return future


def executor(workers: int, measure: Measure) -> Executor:
    if workers == 1:
        share(measure)
        return _Here()
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(measure,))


def _begin(measure: Measure) -> None:
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # an interrupted worker just ends: the parent says what there is to say
    end_with_parent()
    share(measure)


class Runner:
    """Hands out the jobs of a plan: searches first, as retrainings follow from them.

    ``failed`` and ``ran`` are labels of jobs, in the order in which they ended.
    """

    def __init__(self, plan: Plan, out: Path, workers: int, say: Say) -> None:
        self._plan, self._out, self._workers, self._say = plan, out, workers, say
        self._start = time.perf_counter()
        self._waiting: deque[Task] = deque()
        self._known: set[str] = set()
        self._seconds: dict[str, list[float]] = {}
        self.done, self.total = 0, _count(plan)
        self.ran: list[str] = []
        self.failed: list[str] = []

    def run(self, pool: Executor) -> None:
        """All of them; on return every job has its file, or its line among the failed."""
        plan = self._plan
        searches = [plan.search(arm, seed) for arm in plan.studies for seed in plan.seeds]
        drawn = zip(plan.seeds, plan.random, strict=True)
        fixed = [task for seed, one in drawn for task in plan.retrainings(f"random {seed}", one)]
        for name, one in plan.named.items():
            fixed += plan.retrainings(name, one["genotype"], one["space"])
        for task in (*searches, *fixed):
            self._add(task)
        self._drain(pool)
        if plan.inherited:
            genotypes = [*plan.random, *(found for arm in plan.studies for found in self._found(arm))]
            for seed in plan.inheriting:
                self._add(plan.inherited_scores(seed, genotypes))
            self._drain(pool)

    def _found(self, arm: str) -> list[dict[str, Any]]:
        tasks = [self._plan.search(arm, seed) for seed in self._plan.seeds]
        picked = [self._picked(found) for found in (task.read(self._out) for task in tasks) if found is not None]
        return [genotype for genotype in picked if genotype is not None]

    def _picked(self, document: Mapping[str, Any]) -> dict[str, Any] | None:
        record = self._plan.picked(document["result"]["records"])
        return None if record is None else dict(record["genotype"])

    def _add(self, task: Task) -> None:
        if task.digest in self._known:  # two arms share it, and what follows from it
            self.done += 1 + (self._plan.retrain_seeds if task.kind == SEARCH else 0)
            return
        self._known.add(task.digest)
        found = task.read(self._out)
        if found is None:
            self._waiting.append(task)
        else:
            self._ended(task, found)

    def _drain(self, pool: Executor) -> None:
        running: dict[Future[Any], Task] = {}
        while self._waiting or running:
            while self._waiting and len(running) < self._workers:
                task = self._waiting.popleft()
                running[pool.submit(run_task, task, self._out)] = task
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task, error = running.pop(future), future.exception()
                if error is None:
                    self._ended(task, future.result(), anew=True)
                else:
                    self._failed(task, error)

    def _ended(self, task: Task, document: Mapping[str, Any], anew: bool = False) -> None:
        self.done += 1
        self._seconds.setdefault(task.kind, []).append(document["result"]["wall_s"])
        if task.kind == SEARCH:
            genotype = self._picked(document)
            if genotype is None:
                self.done += self._plan.retrain_seeds
                self._say(f"  {task.label}: diverged before its first sound evaluation; nothing to retrain")
            for follow in self._plan.retrainings(task.label, genotype) if genotype else ():
                self._add(follow)
        if anew:
            self.ran.append(task.label)
            self._say(f"{self._lead()} {task.kind} {task.label}: {_told(task, document)}{self._left()}")

    def _failed(self, task: Task, error: BaseException) -> None:
        self.failed.append(task.label)
        self.done += 1 + (self._plan.retrain_seeds if task.kind == SEARCH else 0)
        self._say(f"{self._lead()} {task.kind} {task.label}: FAILED, {type(error).__name__}: {error}")

    def _lead(self) -> str:
        return f"[{clock(time.perf_counter() - self._start)}] {self.done}/{self.total}"

    def _left(self) -> str:
        """From the mean time of each kind of job, once one of each has been seen."""
        waiting = [task.kind for task in self._waiting]
        ahead = waiting.count(SEARCH) * self._plan.retrain_seeds + waiting.count("retrain")
        counts = {SEARCH: waiting.count(SEARCH), "retrain": ahead}
        if any(count and kind not in self._seconds for kind, count in counts.items()) or not sum(counts.values()):
            return ""
        means = {kind: sum(values) / len(values) for kind, values in self._seconds.items()}
        left = sum(count * means.get(kind, 0.0) for kind, count in counts.items()) / self._workers
        return f", about {clock(left)} left"


def _count(plan: Plan) -> int:
    searched = len(plan.studies) * plan.n
    networks = searched + len(plan.random) + len(plan.named)
    return searched + networks * plan.retrain_seeds + plan.inherited


def _told(task: Task, document: Mapping[str, Any]) -> str:
    result = document["result"]
    seconds = f"({result['wall_s']:.1f} s)"
    if task.kind == SEARCH:
        last = result["records"][-1]
        entropies = "/".join(number(last[name], ".2f") for name in ("entropy_g", "entropy_d"))
        return f"{number(last['fid'])}, entropy {entropies} {seconds}"
    return f"{number(result['row']['fid'])} {seconds}" if task.kind == "retrain" else seconds
