"""The record of an evaluation of a search: plain data, fit for a table row and for JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from autogan_ray.base.json_lines import finite
from autogan_ray.nets.supernet import DecisionTable
from autogan_ray.spaces.genotype import Genotype


@dataclass(frozen=True)
class SearchRecord:
    """One evaluation. Losses, scores of D and gradient norms are means since the evaluation before, or None.

    ``fid`` is the score that trials are ranked by; ``diverged`` says that the search is over, ``diverged_by`` for
    what reason (:mod:`autogan_ray.metrics.diverged`), and then ``fid`` is
    :data:`~autogan_ray.metrics.diverged.DIVERGED_FID`.
    """

    evaluation: int
    kimg: float
    step_g: int
    temperature: float
    loss_g: float | None
    loss_d: float | None
    loss_arch_g: float | None
    loss_arch_d: float | None
    entropy_g: float | None
    entropy_d: float | None
    grad_norm_arch_g: float | None
    grad_norm_arch_d: float | None
    d_real: float | None
    d_fake: float | None
    none_g: int | None
    skip_g: int | None
    fid: float
    fid_derived: float | None
    fid_supernet: float | None
    kid: float | None
    n_fake: int
    images_per_s: float
    eval_s: float
    peak_mem_mib: float
    params_g: int
    params_d: int
    macs_g: int
    macs_d: int
    diverged: bool
    diverged_by: str | None
    genotype: Genotype = field(repr=False)
    decisions: DecisionTable = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Returns values for JSON: the genotype as a dict, decisions as name -> choice -> [logit, probability]."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "genotype"}
        decisions = {n: {c: [finite(v) for v in pair] for c, pair in row.items()} for n, row in self.decisions.items()}
        return plain | {
            "genotype": self.genotype.to_dict(),
            "genotype_id": self.genotype.genotype_id,
            "decisions": decisions,
        }


MEANS = (
    *("loss_g", "loss_d", "loss_arch_g", "loss_arch_d"),
    *("grad_norm_arch_g", "grad_norm_arch_d", "d_real", "d_fake"),
)
"""Fields of a record that are means since the evaluation before."""
