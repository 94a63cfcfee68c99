"""Stage 2: one iteration of a search at the published widths, in each form of computing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpu_stages.budget import MARGIN, share
from gpu_stages.sizes import Sizes
from gpu_stages.subjects import BF16, FP32, TF32, Form, searching_trial, wanted
from gpu_stages.timing import search_step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpu_stages.run import Run

NAME = "search-step"
FULL = "full search, extrapolated"
EAGER, COMPILED = 1.0, 8.0
"""Weights in the stage's time: of one eager form, of the full search, and of all compiled forms together.

Compiling takes a minute or more before the first step, so the first compiled form may take what they all have.
"""
FORMS = (
    Form(BF16),
    Form(TF32),
    Form(BF16, relaxation="gumbel_hard"),
    Form(TF32, relaxation="gumbel_hard"),
    Form(BF16, merge=False),
    Form(TF32, merge=False),
    Form(FP32),
    Form(BF16, compiled=True),
    Form(TF32, compiled=True),
    Form(BF16, merge=False, compiled=True),
    Form(TF32, merge=False, compiled=True),
)
"""What says most comes first, as time may end before the last."""


def stage(run: Run) -> None:
    sizes, rates = run.sizes, run.rates()
    later = [COMPILED * sizes.compiles, EAGER]
    forms = wanted(FORMS, sizes)
    eager = [form for form in forms if not form.compiled]
    for index, form in enumerate(eager):
        limit_s = share([EAGER] * (len(eager) - index) + later, run.left_s)
        measured = {"sizes": sizes, "form": form, "most": sizes.iterations, "rates": rates}
        run.measure(form.name, search_step, limit_s=limit_s, **measured)
    for form in forms:
        if form.compiled:
            measured = {"sizes": sizes, "form": form, "most": sizes.compiled_iterations, "rates": rates}
            run.measure(form.name, search_step, limit_s=share(later, run.left_s), **measured)
    full_search(run)


def fastest(run: Run, compiled: bool = True) -> tuple[Form, dict[str, Any]] | None:
    """The form with the shortest iteration, and its figure; None where no form was measured.

    Args:
        compiled: whether compiled forms count.
    """
    found = [(form, run.results.figures(NAME, form.name)) for form in FORMS if compiled or not form.compiled]
    measured = [(form, figures[-1]) for form, figures in found if figures]
    return min(measured, key=lambda one: one[1]["iteration_ms"], default=None)


def full_search(run: Run) -> None:
    """How long the study's search takes in the fastest form, from enough steps of it. Evaluations are not in it."""
    found = fastest(run)
    if found is None:
        return run.skip(FULL, "no form of the step was measured")
    form, figure = found
    least = run.sizes.full_search_steps
    need_s = least * figure["mean_d_step_ms"] / 1e3
    if figure["d_steps"] < least:
        if need_s > MARGIN * run.left_s:
            return run.skip(
                FULL, f"{least} steps of {form.name} would take {need_s:.0f} s, {run.left_s:.0f} s were left"
            )
        most = -(-least * figure["iterations"] // figure["d_steps"])
    else:
        most = 0
    run.measure(FULL, extrapolated, sizes=run.sizes, form=form, most=most, figure=figure)


def extrapolated(sizes: Sizes, form: Form, most: int, figure: dict[str, Any], seconds: float) -> Iterator[Any]:
    """The job behind :func:`full_search`. Args: most: iterations to measure; 0 where ``figure`` has enough."""
    from autogan_ray.config.search_length import total_steps

    measured = figure
    if most:
        measured = next(search_step(sizes, form, most, {}, seconds))
        if measured["d_steps"] < sizes.full_search_steps:
            raise TimeoutError(f"{measured['d_steps']} of {sizes.full_search_steps} steps were done in {seconds:.0f} s")
    search = searching_trial(sizes, form, sizes.search).search
    steps = total_steps(search, 1)
    yield {
        "form": form.name,
        "measured_d_steps": measured["d_steps"],
        "mean_d_step_ms": measured["mean_d_step_ms"],
        "search_kimg": search.kimg,
        "search_d_steps": steps,
        "search_extrapolated_s": steps * measured["mean_d_step_ms"] / 1e3,
    }
