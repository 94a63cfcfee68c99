"""What ``reinforce`` gains from an architecture: a score of the images its path through the averaged supernet makes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from autogan_ray.metrics.evaluation import Evaluator
from autogan_ray.metrics.scores import RealSet, inception_score
from autogan_ray.nets.place import Selection
from autogan_ray.search.methods.base import Surroundings
from autogan_ray.search.methods.reinforce.levels import coarse
from autogan_ray.training.data import gather, to_uint8

SPLITS = 10
"""Of the Inception Score, as published."""


class Reward:
    """Rewards of one level, whose images have the detail of ``side`` px.

    ``fid``: minus the logarithm of the Frechet distance, so that a tenth less is worth the same anywhere. It says more
    than the published ``is``: over NAS-GAN-Bench-101 the distance early in a training has a rank correlation with the
    final one of .72, the Inception Score of .58. Real images are made as coarse as the level's.

    Within one phase all architectures get the same z, so that a difference between two is theirs. Batch norms work with
    the statistics of the batch: those of the supernet mix all architectures.
    """

    def __init__(self, around: Surroundings, side: int) -> None:
        self._around, self._kind = around, around.trial.search.reward
        self._real = around.evaluator.real
        if self._kind == "fid" and side != around.data.image_size:
            self._real = _coarse_real(around, side)

    def at(self, seed: int) -> Evaluator:
        """The judge of one phase; ``seed`` decides its z."""
        evaluator = self._around.evaluator
        protocol = replace(evaluator.protocol, n_fake=self._around.trial.search.reward_images, seed=seed)
        return Evaluator(evaluator.extractor, self._real, protocol, evaluator.device)

    def of(self, path: Selection, judge: Evaluator) -> float | None:
        """None where images or features are not finite."""
        network = self._around.ema.network
        mode = network.training
        network.train()
        try:
            latents = self._around.net.generator.latents
            if self._kind == "fid":
                fid = judge.score(lambda z: network(z, path), latents, kid=False).fid
                return None if fid is None else -math.log(max(fid, 1e-6))
            features = judge.features(lambda z: network(z, path), latents)
            if features is None or not bool(torch.isfinite(features.logits).all()):
                return None
            return inception_score(features.logits, SPLITS)[0]
        finally:
            network.train(mode)


def _coarse_real(around: Surroundings, side: int) -> RealSet:
    """Of at most ``RealSet.KEPT`` real images, spread evenly over the data set."""
    count = min(len(around.data), RealSet.KEPT)
    indices = np.linspace(0, len(around.data) - 1, count).astype(np.int64)
    images = [to_uint8(coarse(gather(around.data, part), side)).numpy() for part in np.array_split(indices, 10)]
    return RealSet.of(around.evaluator.extractor, np.concatenate(images))
