"""Random search under shared weights: the control that every other method is to beat (Li and Talwalkar, UAI 2019).

Nothing is learnt about the architecture. Weights are trained on uniformly drawn paths; the trial's genotype is one
connected genotype, drawn uniformly by the trial's seed before anything was trained. Its logits stay 0: each choice has
the share at which it is drawn, and the table ``decisions`` says of the one drawn genotype that it is ``selected``.
"""

from __future__ import annotations

from autogan_ray.search.methods.base import Surroundings
from autogan_ray.search.methods.single_path import SinglePath


class Random(SinglePath):
    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        net = around.net
        genotype = net.space.random(net.shape.image_size, around.trial.seed)
        net.arch_g.settled, net.arch_d.settled = dict(genotype.generator), dict(genotype.discriminator)
