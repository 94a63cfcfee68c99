"""Stage 3: one iteration of retraining a published genotype at the published batch, in each form of computing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_stages.budget import share
from gpu_stages.subjects import BF16, FP32, TF32, Form, wanted
from gpu_stages.timing import retraining_step

if TYPE_CHECKING:
    from gpu_stages.run import Run

NAME = "retrain-step"
EAGER, COMPILED = 1.0, 6.0
"""Weights in the stage's time: of one eager form, and of all compiled forms together."""
GENOTYPES = ("autogan-a", "adversarialnas")
"""Shipped ones, trained by the study's recipe, which gives both AutoGAN's discriminator."""
FORMS = (Form(BF16), Form(TF32), Form(FP32), Form(BF16, compiled=True), Form(TF32, compiled=True))


def stage(run: Run) -> None:
    cases = [(genotype, form) for form in wanted(FORMS, run.sizes) for genotype in GENOTYPES]
    eager = [case for case in cases if not case[1].compiled]
    later = [COMPILED] if len(eager) < len(cases) else []
    for index, (genotype, form) in enumerate(eager):
        _measure(run, genotype, form, share([EAGER] * (len(eager) - index) + later, run.left_s))
    for genotype, form in cases[len(eager) :]:
        _measure(run, genotype, form, run.left_s)


def _measure(run: Run, genotype: str, form: Form, limit_s: float) -> None:
    what = f"{genotype}, {form.retraining_name}"
    measured = {"sizes": run.sizes, "genotype": genotype, "form": form, "rates": run.rates()}
    run.measure(what, retraining_step, limit_s=limit_s, **measured)
