"""The reward of ``reinforce``: a score of the images that an architecture makes with the averaged weights."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from autogan_ray.metrics.evaluation import Evaluator
from autogan_ray.metrics.scores import RealSet, inception_score
from autogan_ray.nets.compute import in_mode
from autogan_ray.nets.relaxation import Selection
from autogan_ray.search.methods.base import SearchContext
from autogan_ray.search.methods.reinforce_parts.levels import coarse
from autogan_ray.training.steps import with_selection
from autogan_ray.training.streams import gather, to_uint8


class Reward:
    """Rewards of one level, whose images have the detail of ``side`` px.

    ``fid`` is minus the logarithm of the Frechet distance, so that a tenth less is worth the same anywhere. It says
    more than the published ``is``: over NAS-GAN-Bench-101 the distance early in a training has a rank correlation with
    the final distance of .72, the Inception Score of .58. Real images are made as coarse as the level's.

    Within one phase all architectures get the same z, so that a difference between two is due to them. Batch norms
    use the statistics of the batch: those of the supernet mix all architectures.
    """

    def __init__(self, context: SearchContext, side: int) -> None:
        self._context, self._kind = context, context.trial.search.reward
        self._real = context.evaluator.real
        if self._kind == "fid" and side != context.data.image_size:
            self._real = _coarse_real(context, side)

    def evaluator(self, seed: int) -> Evaluator:
        """Returns the evaluator of one phase; ``seed`` decides its z."""
        evaluator = self._context.evaluator
        protocol = replace(evaluator.protocol, n_fake=self._context.trial.search.reward_images, seed=seed)
        return Evaluator(evaluator.extractor, self._real, protocol, evaluator.device)

    def of(self, selection: Selection, evaluator: Evaluator) -> float | None:
        """Returns the reward of a single path; None where images or features are not finite."""
        network, latents = self._context.ema.network, self._context.net.generator.latents
        with in_mode(network, training=True):
            make = with_selection(network, selection)
            if self._kind == "fid":
                fid = evaluator.score(make, latents, kid=False).fid
                return None if fid is None else -math.log(max(fid, 1e-6))
            features = evaluator.features(make, latents)
            if features is None or not bool(torch.isfinite(features.logits).all()):
                return None
            return inception_score(features.logits)[0]


def _coarse_real(context: SearchContext, side: int) -> RealSet:
    """Extracts coarse real images, at most ``RealSet.KEPT``: a sample in which each class has its share."""
    parts = np.array_split(context.data.sample(RealSet.KEPT), 10)
    images = [to_uint8(coarse(gather(context.data, part), side)).numpy() for part in parts]
    return RealSet.of(context.evaluator.extractor, np.concatenate(images))
