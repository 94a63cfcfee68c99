"""Random search under shared weights: the control that every other method is to beat (Li and Talwalkar, UAI 2019).

Nothing is learnt about the architecture. Weights are trained on uniformly sampled architectures; the trial's genotype
is a connected genotype, drawn uniformly by the trial's seed before training. The logits stay 0: each choice has the
probability with which it is drawn, and in the table ``decisions`` the drawn genotype alone is ``selected``.
"""

from __future__ import annotations

from autogan_ray.search.methods.base import SearchContext
from autogan_ray.search.methods.single_path import SinglePath


class Random(SinglePath):
    """Trains uniformly sampled architectures; the genotype is that of the trial's seed and stays so."""

    def __init__(self, context: SearchContext) -> None:
        super().__init__(context)
        genotype = self.net.space.random(self.net.shape.image_size, context.trial.seed)
        self.net.arch_g.settled, self.net.arch_d.settled = dict(genotype.generator), dict(genotype.discriminator)


METHOD = Random
