"""What an evaluation of a search scores: the derived network and the mixture.

Training goes on afterwards as if nothing had happened: only the average's batch-norm statistics are touched, which
hold no state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from autogan_ray.base.json_lines import finite
from autogan_ray.metrics.diverged import DIVERGED_FID, SCORE_NOT_FINITE
from autogan_ray.metrics.evaluation import Evaluator, Score
from autogan_ray.nets.compute import configured
from autogan_ray.nets.cost.count import genotype_cost
from autogan_ray.nets.derived import inherit
from autogan_ray.nets.gan import Generator
from autogan_ray.nets.relaxation import Selection
from autogan_ray.nets.supernet import Supernet, mean_entropy
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.training.steps import Ema, with_selection


@dataclass(frozen=True)
class Scorer:
    """Scores a supernet's averaged generator.

    Args:
        net, ema: the supernet, and the average of its generator's weights.
        evaluator: scores generators.
        rank_by: ``derived`` or ``supernet``, the score that becomes ``fid``.
    """

    net: Supernet
    ema: Ema
    evaluator: Evaluator
    rank_by: str

    def derived_generator(self, genotype: Genotype) -> Generator:
        """Returns a genotype's generator with the supernet's averaged weights, batch norms re-estimated."""
        net = self.net
        with torch.random.fork_rng(devices=[]):  # building a network draws its initial weights
            network = Generator(net.space, net.shape, genotype.choices).to(net.arch_g.logits.device)
        configured(network, net.compute, net.shape.image_size)
        network.running = net.generator.running  # a growing generator is scored as far as it has grown
        inherit(network, self.ema.network.state_dict())
        self.evaluator.update_batch_norm(network, network, network.latents)
        return network.eval()

    def derived(self, genotype: Genotype) -> Score:
        """Scores a genotype's generator."""
        network = self.derived_generator(genotype)
        return self.evaluator.score(network, network.latents, kid=self.rank_by == "derived")

    def supernet(self, selection: Selection | None = None) -> Score:
        """Scores the mixture at its expected weights, or at the weights of a selection, and then without KID."""
        network = self.ema.network
        make = with_selection(network, self.net.arch_g.expected() if selection is None else selection)
        self.evaluator.update_batch_norm(network, make, self.net.generator.latents)
        network.eval()
        wanted = selection is None and self.rank_by == "supernet"
        return self.evaluator.score(make, self.net.generator.latents, kid=wanted)

    def fields(
        self, genotype: Genotype, derived: Score | None, supernet: Score | None, fault: str | None = None
    ) -> dict[str, Any]:
        """Returns the fields of a record that follow from the scores, the logits and the genotype.

        Args:
            derived: score of the genotype.
            supernet: score of the mixture.
            fault: by what the search has diverged before anything was scored.
        """
        net, ranked = self.net, derived if self.rank_by == "derived" else supernet
        if ranked is None or ranked.fid is None:
            fault = fault or (ranked.fault if ranked else None) or SCORE_NOT_FINITE
        table = net.table()
        edges, chosen = [d for d in net.arch_g.decisions if d.edge], genotype.choices
        return {
            "entropy_g": finite(mean_entropy(table, "g")),
            "entropy_d": finite(mean_entropy(table, "d")),
            "none_g": sum(chosen[d.name] == d.no_connection for d in edges) if edges else None,
            "skip_g": sum(chosen[d.name] == d.identity for d in edges) if edges else None,
            "fid": DIVERGED_FID if fault is not None or ranked is None else ranked.fid,
            "fid_derived": derived.fid if derived else None,
            "fid_supernet": supernet.fid if supernet else None,
            "kid": ranked.kid if ranked else None,
            "n_fake": self.evaluator.protocol.n_fake,
            **genotype_cost(net.space, net.shape, genotype),
            "diverged": fault is not None,
            "diverged_by": fault,
            "genotype": genotype,
            "decisions": table,
        }


def supernet_due(evaluation: int, last: int, every: int) -> bool:
    """Returns whether the mixture is scored at an evaluation, 1 to ``last``: by its number alone, as a resume needs."""
    return evaluation % every == 0 or evaluation == last
