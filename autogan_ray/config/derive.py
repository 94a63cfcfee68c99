"""The section ``[derive]`` of a trial: how a genotype follows from the logits. All of it is off by default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import NonNegativeInt, PositiveInt, ValidationError, model_validator

from autogan_ray.base.value import Value
from autogan_ray.config.corners import corners
from autogan_ray.config.sweep import Domain


class DeriveConfig(Value):
    """With nothing set, a genotype is the likeliest choice of each decision, repaired where a node would starve."""

    exclude_none: bool = False
    """Leave ``none`` out: every edge takes its likeliest operation (DARTS, Liu et al., ICLR 2019, section 2.4)."""
    max_skips_per_cell_g: NonNegativeInt | None = None
    max_skips_per_cell_d: NonNegativeInt | None = None
    """At most so many edges ``skip`` in each cell of G, of D; None: no limit. The least probable skips give way to
    their next likeliest operation (P-DARTS, Chen et al., ICCV 2019, search space regularization; DARTS+ counts so)."""
    max_params_g: PositiveInt | None = None
    max_params_d: PositiveInt | None = None
    """Trainable parameters of the derived G, D at the widths of ``[model]``, at most; None: no limit. The genotype is
    then the most probable connected one within all limits: maximum of the sum of log-probabilities, found exactly."""
    max_macs_g: PositiveInt | None = None
    max_macs_d: PositiveInt | None = None
    """Likewise multiply-accumulates of one image. (FBNet, Wu et al., CVPR 2019, and its kin put a term into the loss
    instead, which makes small networks likely but promises none.)"""
    samples: NonNegativeInt = 0
    """At each evaluation, draw so many genotypes of G from the softmax of the logits, score them and the argmax with
    inherited weights, and keep the best by FID (as ENAS derives, Pham et al., ICML 2018, section 2.2). 0 takes the
    argmax. Each costs one more scoring at ``metrics.n_fake_search``."""
    perturbation: bool = False
    """At the last evaluation, choose G by what the supernet misses most (DARTS-PT, Wang et al., ICLR 2021, algorithm
    1): decision by decision in random order, each choice is taken out of the mixture in turn, and the one whose absence
    raises the mixture's FID most is kept. Costs one scoring a choice."""
    tune_steps: NonNegativeInt = 0
    """With ``perturbation``: steps of both networks' weights after each decision, so that the supernet adapts to it.
    They are taken back once the genotype is chosen."""

    @model_validator(mode="after")
    def _one_way_at_a_time(self) -> Self:
        if self.samples and self.perturbation:
            raise ValueError(
                f"derive.samples = {self.samples} and derive.perturbation = true exclude each other; set samples = 0 "
                "or perturbation = false"
            )
        if self.tune_steps and not self.perturbation:
            raise ValueError(
                f"derive.tune_steps = {self.tune_steps} without derive.perturbation, which alone tunes; set "
                "perturbation = true or tune_steps = 0"
            )
        return self


def check_sweep(derive: DeriveConfig, sweep: Mapping[str, Domain]) -> None:
    """Raises ValueError where a sweep may propose settings of this section that exclude each other."""
    for corner in corners(sweep, [f"derive.{name}" for name in DeriveConfig.model_fields]):
        changes = {key.removeprefix("derive."): value for key, value in corner.items()}
        try:
            DeriveConfig.model_validate(derive.model_dump() | changes)
        except ValidationError as error:
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ValueError(f"sweep may propose what no trial can be: {message}") from error
