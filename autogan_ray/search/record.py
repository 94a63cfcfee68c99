"""What a search tells at each evaluation: plain data, fit for a table row and for JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from autogan_ray.nets.supernet import DecisionTable
from autogan_ray.spaces.genotype import Genotype


@dataclass(frozen=True)
class SearchRecord:
    """One evaluation. Losses, scores and gradient norms are means since the evaluation before; None: there were none.

    ``fid`` is the one that trials are ranked by; ``diverged`` says that a loss or an image was not finite, and then
    ``fid`` is :data:`~autogan_ray.metrics.evaluation.DIVERGED_FID` and the search is over.
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
    genotype: Genotype = field(repr=False)
    decisions: DecisionTable = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; the genotype as its own dict, the decisions as name -> choice -> [logit, probability]."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "genotype"}
        decisions = {n: {c: [finite(v) for v in pair] for c, pair in row.items()} for n, row in self.decisions.items()}
        return plain | {
            "genotype": self.genotype.to_dict(),
            "genotype_id": self.genotype.genotype_id,
            "decisions": decisions,
        }


def finite(value: float | None) -> float | None:
    """JSON has no NaN, and the logits of a diverged search may be nothing else."""
    return value if value is not None and math.isfinite(value) else None


MEANS = (
    *("loss_g", "loss_d", "loss_arch_g", "loss_arch_d"),
    *("grad_norm_arch_g", "grad_norm_arch_d", "d_real", "d_fake"),
)
"""Fields of a record that are means since the evaluation before."""


@dataclass
class Means:
    """Running means of 0-dim tensors by name, kept on the device so that no step waits for it."""

    sums: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, **values: Any) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.counts[name] = self.counts.get(name, 0) + 1

    def mean(self, name: str) -> float | None:
        return float(self.sums[name]) / self.counts[name] if name in self.sums else None

    def told(self) -> dict[str, Any]:
        """The means that a record wants."""
        return {name: finite(self.mean(name)) for name in MEANS}

    def clear(self) -> None:
        self.sums, self.counts = {}, {}

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sums, self.counts = dict(state["sums"]), dict(state["counts"])
