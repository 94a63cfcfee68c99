"""Stage 5: the quality row. A real search, and its genotype retrained beside a published and a random one, with curves.

Everything is short, so the distances compare with each other and with nothing published: "FD (classifier)", features of
a classifier trained on the images themselves, with the distance of one half of them to the other as the floor.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from gpu_stages import search_step
from gpu_stages.budget import MARGIN
from gpu_stages.children import DONE, Stopped
from gpu_stages.quality_jobs import PUBLISHED, prepare, retrain, search
from gpu_stages.subjects import BF16, TF32, Form

if TYPE_CHECKING:
    from gpu_stages.run import Run

NAME = "quality"
PREPARED, SEARCH = "real images", "search"
SEARCHED, RANDOM = "searched", "random 0"
USUAL = {"cuda": Form(BF16, relaxation="gumbel_hard"), "cpu": Form(TF32, relaxation="gumbel_hard")}
"""The form of the search where no form of its step was measured."""
SPARE_PROCESSORS = 4
"""From so many on the classifier is trained beside the other stages; with fewer it would slow down what they time."""
SEARCH_PART, STARTING = 0.63, 0.5
"""Of the time that search and retrainings have together; and of the retrainings' own for starting processes."""


def early(run: Run) -> None:
    """Train the classifier on one processor while the GPU does other things."""
    if not lacking(run) and (os.cpu_count() or 1) >= SPARE_PROCESSORS and not run.results.finished(NAME, PREPARED):
        run.start_early(NAME, prepare, sizes=run.sizes, cifar=run.cifar, seconds=0.0)


def lacking(run: Run) -> str | None:
    """Why there are no images; None where there are."""
    if run.cifar is None and run.sizes.study == "cifar10":
        return "no images: hand a Parquet file of CIFAR-10 over by --cifar FILE (docs/gpu.md says how one is cut)"
    return None


def stage(run: Run) -> None:
    reason = lacking(run)
    if reason:
        return run.skip("all", reason)
    if not _prepared(run):
        return
    found = search_step.fastest(run, compiled=False)
    form = found[0] if found else USUAL[run.sizes.device]
    limit_s = SEARCH_PART * run.left_s
    run.measure(SEARCH, search, limit_s=limit_s, sizes=run.sizes, cifar=run.cifar, form=form)
    _retrainings(run, _best(run))


def _prepared(run: Run) -> bool:
    """Whether the real images and their classifier are there: made beside the other stages, or now."""
    worker = run.early.pop(NAME, None)
    if worker is None:
        return bool(run.measure(PREPARED, prepare, sizes=run.sizes, cifar=run.cifar))
    try:
        _, figure = worker.receive(run.left_s)
    except Stopped as error:
        run.skip(PREPARED, str(error))
        return False
    finally:
        worker.close()
    run.record(PREPARED, PREPARED, figure)
    run.end_part(PREPARED)
    return True


def _best(run: Run) -> dict[str, Any] | None:
    """The genotype with the best distance, also of a search that had to be stopped; None where there is none."""
    records = [line for line in run.results.figures(NAME, SEARCH) if line.get("fd_classifier") is not None]
    return min(records, key=lambda line: line["fd_classifier"])["genotype"] if records else None


def _retrainings(run: Run, searched: dict[str, Any] | None) -> None:
    """All that are not measured yet, side by side, so that each has the same third of the device."""
    names = [SEARCHED, PUBLISHED, RANDOM]
    wanted = [name for name in names if not run.results.finished(NAME, f"retrain {name}")]
    if searched is None and SEARCHED in wanted:
        wanted.remove(SEARCHED)
        run.skip(f"retrain {SEARCHED}", "the search gave no genotype that could be scored")
    if not wanted or not run.may_begin(f"retrain {wanted[0]}"):
        return
    crew = run.crew(len(wanted), STARTING * run.left_s)
    for name in wanted[len(crew) :]:
        run.skip(f"retrain {name}", f"{len(crew)} of {len(wanted)} processes were ready in their time")
    busy = {}
    for worker, name in zip(crew, wanted, strict=False):
        given = {"sizes": run.sizes, "cifar": run.cifar, "name": name, "seconds": MARGIN * run.left_s}
        worker.begin(retrain, given | {"genotype": searched if name == SEARCHED else None})
        busy[worker] = f"retrain {name}"
    while busy:
        for worker in run.first_ready([*busy], run.left_s) or [*busy]:
            what = busy[worker]
            try:
                kind, value = worker.receive(run.left_s)
            except Stopped as error:
                run.skip(what, f"{error}; its curve ends there")
                del busy[worker]
                continue
            if kind == DONE:
                run.end_part(what)
                del busy[worker]
            else:
                run.record(what, what, value)
