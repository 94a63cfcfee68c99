"""Running jobs side by side: one worker process for each device."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from queue import Queue
from typing import Any

import torch

from autogan_ray.base.errors import AlreadyThereError
from autogan_ray.base.files import replace_text
from autogan_ray.base.processes import start_resource_tracker, start_worker
from autogan_ray.metrics.measure import Measure
from autogan_ray.results.retrained import RESULT, read_result
from autogan_ray.retraining.job import Job
from autogan_ray.retraining.training import Retraining


def run_jobs(
    jobs: Sequence[Job],
    measure: Measure,
    devices: Sequence[str],
    resume: bool,
    on_end: Callable[[Job, dict[str, Any] | BaseException], None],
) -> None:
    """Runs all jobs, one on each device at a time; a job that fails stops no other.

    Args:
        measure: data, extractor and real statistics, by which every job is trained and scored.
        devices: where the jobs run, such as ``["cuda:0", "cuda:1"]``.
        resume: take finished jobs as they are, and go on with the checkpoints of the others.
        on_end: called in this thread when a job ends, with its result or its error.

    Raises AlreadyThereError where a job's folder holds a retraining already and ``resume`` is not set.
    """
    for job in jobs:
        if job.folder.exists() and not resume:
            raise AlreadyThereError(
                f"{job.folder} holds this retraining already; go on with --resume, or change --kimg"
            )
    start_resource_tracker()
    context = multiprocessing.get_context("spawn")

    def started() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(max_workers=1, mp_context=context, initializer=start_worker)

    # A thread takes a free device, sends its job to that device's process and waits for the result: so no device has
    # two jobs, and none is idle while a job waits.
    workers = [started() for _ in devices]
    free: Queue[int] = Queue()
    for index in range(len(devices)):
        free.put(index)

    def run_on_free_device(job: Job) -> dict[str, Any]:
        index = free.get()
        try:
            return workers[index].submit(run_job, replace(job, device=devices[index]), measure).result()
        except BrokenProcessPool:  # the process was killed: the next job gets a new process
            workers[index] = started()
            raise
        finally:
            free.put(index)

    threads = ThreadPoolExecutor(len(devices))
    try:
        waiting = {threads.submit(run_on_free_device, job): job for job in jobs}
        for future in as_completed(waiting):
            on_end(waiting[future], future.exception() or future.result())
    except KeyboardInterrupt:  # the jobs go on from their checkpoints another time
        threads.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.kill()
        raise
    finally:
        threads.shutdown()
        for worker in workers:
            worker.shutdown(cancel_futures=True)


def run_job(job: Job, measure: Measure) -> dict[str, Any]:
    """Trains, scores and saves the networks of one job, in a worker process.

    Returns the content of ``result.json``: the row of the table ``evaluations``, the score of the untrained network,
    and the seconds of training. A job that has that file already is not run again.
    """
    torch.set_num_threads(1 if job.device == "cpu" else torch.get_num_threads())
    if (finished := read_result(job.folder)) is not None:
        return finished
    result = Retraining(job, measure).run()
    replace_text(job.folder / RESULT, json.dumps(result, indent=2) + "\n")
    return result
