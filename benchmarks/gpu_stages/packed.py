"""Stage 4: several small searches on one device at a time, each a process of its own: do they gain on one alone?"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from gpu_stages.budget import MARGIN
from gpu_stages.children import ASKS, Stopped, Worker
from gpu_stages.sizes import Sizes
from gpu_stages.subjects import BF16, TF32, Form, arithmetic, search_loop

if TYPE_CHECKING:
    from autogan_ray.search.loop import SearchLoop
    from gpu_stages.run import Run

NAME = "packing"
FORM = {"cuda": Form(BF16), "cpu": Form(TF32)}
"""The form of the trials, by kind of device."""
STARTING = 0.6
"""Part of the stage's time in which the processes must have started."""


def part(number: int) -> str:
    return f"{number} side by side"


def stage(run: Run) -> None:
    """All processes build and warm up together; then the first of them, the first two, ... search for the same time."""
    sizes = run.sizes
    wanted = [number for number in sizes.side_by_side if not run.results.finished(NAME, part(number))]
    if not wanted or not run.may_begin(part(wanted[0])):
        return
    form, deadline = FORM[sizes.device], run.clock() + STARTING * run.left_s
    crew = run.crew(max(wanted), STARTING * run.left_s)
    for seed, worker in enumerate(crew):
        worker.begin(trial, {"sizes": sizes, "form": form, "seed": seed})
    ready = []
    for worker in crew:
        with contextlib.suppress(Stopped):
            worker.receive(deadline - run.clock())
            ready.append(worker)
    for place, number in enumerate(wanted):
        window_s = min(sizes.window_s, MARGIN * run.left_s / (len(wanted) - place))
        if number > len(ready):
            run.skip(part(number), f"{len(ready)} of {max(wanted)} processes were ready in their time")
            continue
        figure = together(run, ready[:number], window_s)
        alone = run.results.figures(NAME, part(1))
        speedup = {"speedup_over_one": figure["images_per_s"] / alone[-1]["images_per_s"]} if alone else {}
        run.record(part(number), part(number), figure | speedup | {"form": form.name})
        run.end_part(part(number))
    for worker in ready:
        worker.child.send(0.0)
        worker.receive(run.left_s)


def together(run: Run, crew: Sequence[Worker], window_s: float) -> dict[str, Any]:
    """Let all search for ``window_s`` at the same time. Raises Stopped where one is not back in the stage's time."""
    for worker in crew:
        worker.child.send(window_s)
    found = [worker.receive(run.left_s)[1] for worker in crew]
    return {
        "processes": len(found),
        "images_per_s": sum(one["images"] / one["wall_s"] for one in found),
        "slowest_images_per_s": min(one["images"] / one["wall_s"] for one in found),
        "window_s": max(one["wall_s"] for one in found),
        "cpu_ms_per_image": 1e3 * sum(one["cpu_s"] for one in found) / sum(one["images"] for one in found),
        "peak_mem_mib": max(one["peak_mem_mib"] for one in found),
    }


def trial(sizes: Sizes, form: Form, seed: int) -> Generator[dict[str, Any], float, None]:
    """The job of one process: warms up, and searches for as many seconds as it is told, again and again until 0."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with arithmetic(form.arithmetic):
            yield from _windows(search_loop(sizes, form, sizes.packed, seed))
    finally:
        torch.set_num_threads(threads)


def _windows(loop: SearchLoop) -> Generator[dict[str, Any], float, None]:
    import torch

    from autogan_ray.training.memory import peak_memory_mib

    def iteration() -> None:
        for _ in range(loop.trial.search.d_steps_per_g_step):
            loop.step()
        if loop.device.type == "cuda":
            torch.cuda.synchronize(loop.device)

    for _ in range(2):
        iteration()
    figure: dict[str, Any] = {ASKS: True}
    while seconds := (yield figure):
        before, begin, spent = loop.images_shown, time.perf_counter(), time.process_time()
        while time.perf_counter() - begin < seconds:
            iteration()
        figure = {
            ASKS: True,
            "images": loop.images_shown - before,
            "wall_s": time.perf_counter() - begin,
            "cpu_s": time.process_time() - spent,
            "peak_mem_mib": peak_memory_mib(loop.device),
        }
