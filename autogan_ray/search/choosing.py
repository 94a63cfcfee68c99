"""Chooses the genotype of an evaluation: one derivation each time, by the rules alone or by scores too."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch

from autogan_ray.config.study import TrialConfig
from autogan_ray.metrics.evaluation import Score
from autogan_ray.nets.relaxation import Selection, SingleChoice
from autogan_ray.nets.supernet import Supernet
from autogan_ray.search.scoring import Scorer
from autogan_ray.search.tuning import WeightTuner
from autogan_ray.spaces.derivation.derive import candidates
from autogan_ray.spaces.derivation.perturbation import Mixture, perturbed_choices
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.training.streams import stream_seed


@dataclass(frozen=True)
class GenotypeChooser:
    """Chooses the genotype that stands for the supernet at an evaluation, as ``[derive]`` of the trial says.

    What is random in it is a function of the trial's seed and the number of the evaluation, so a resumed search
    derives what an uninterrupted one does.

    Args:
        scorer: scores genotypes.
        trial: the resolved configuration.
        evaluations: of a search that runs to its end.
        tuner: makes steps of the weights between two decisions, and undoes them.
    """

    scorer: Scorer
    trial: TrialConfig
    evaluations: int
    tuner: WeightTuner

    def choose(self, evaluation: int, finite: bool = True) -> tuple[Genotype, Score | None]:
        """Returns the genotype and the score of its generator with inherited weights.

        Args:
            evaluation: its number, from 1. ``perturbation`` acts at the last one.
            finite: False for a search that diverged, in which nothing is scored.
        """
        settings, net = self.trial.derive, self.scorer.net
        open_to_scores = finite and not net.arch_g.settled
        if open_to_scores and settings.samples:
            return self._best_sample(evaluation)
        genotype = net.genotype()
        if open_to_scores and settings.perturbation and evaluation == self.evaluations:
            genotype = self._perturbed(evaluation)
        return genotype, self.scorer.derived(genotype) if finite else None

    def _rng(self, evaluation: int) -> random.Random:
        return random.Random(stream_seed(self.trial.seed, "derivation", evaluation))

    def _best_sample(self, evaluation: int) -> tuple[Genotype, Score]:
        """Samples genotypes and returns the best; the first of equal scores, as the likeliest genotype comes first."""
        net = self.scorer.net
        size, count = net.shape.image_size, self.trial.derive.samples
        rng, rows = self._rng(evaluation), net.probabilities()
        drawn = candidates(net.space, rows, size, net.rules, count, rng, net.settled)
        genotypes = [net.space.genotype(choices, size) for choices in drawn]
        scored = [(genotype, self.scorer.derived(genotype)) for genotype in genotypes]
        return min(scored, key=lambda pair: math.inf if pair[1].fid is None else pair[1].fid)

    def _perturbed(self, evaluation: int) -> Genotype:
        net = self.scorer.net
        size, probabilities = net.shape.image_size, net.probabilities()
        order = [decision.name for decision in net.arch_g.decisions]
        self._rng(evaluation).shuffle(order)
        with self.tuner.restored():
            choices = perturbed_choices(
                net.space,
                probabilities,
                size,
                net.rules,
                order,
                lambda mixture: self.scorer.supernet(selection_of(net, mixture)).fid,
                lambda mixture: self.tuner.tune(selection_of(net, mixture)),
            )
        return net.space.genotype(net.genotype().choices | choices, size)


def selection_of(net: Supernet, mixture: Mixture) -> Selection:
    """Converts a mixture of G's choices to architecture weights; a choice that is alone runs alone."""
    selection: dict[str, torch.Tensor | SingleChoice] = {}
    for decision in net.arch_g.decisions:
        row = mixture[decision.name]
        if len(row) == 1:
            selection[decision.name] = SingleChoice(decision.choices.index(next(iter(row))))
        else:
            weights = [row.get(choice, 0.0) for choice in decision.choices]
            selection[decision.name] = torch.tensor(weights, device=net.arch_g.logits.device)
    return selection
