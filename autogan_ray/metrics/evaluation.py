"""How a study scores a generator: the same real set, number of fakes, z and 8-bit images for all trials."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from autogan_ray.config.study import StudyConfig
from autogan_ray.metrics.diverged import (
    FEATURES_NOT_FINITE,
    IMAGES_ALL_THE_SAME,
    IMAGES_NOT_FINITE,
    SCORE_NOT_FINITE,
    Seen,
)
from autogan_ray.metrics.features import Extractor, Features, Gathered
from autogan_ray.metrics.moments import Moments
from autogan_ray.metrics.scores import RealSet, kernel_distance
from autogan_ray.nets.derived import reestimate_batch_norm
from autogan_ray.nets.gan import Latents
from autogan_ray.nets.upload import uploaded
from autogan_ray.training.streams import layer_noise, stream, stream_seed, to_uint8

KID_SUBSETS = 10
"""During a search; a final score takes the published 100."""


@dataclass(frozen=True)
class Protocol:
    """How fakes are generated for a score.

    Args:
        n_fake: number of fakes.
        batch_size: images per forward pass of generation and extraction, and in each of the ``bn_batches``.
        bn_batches: batches from which batch-norm statistics are re-estimated.
        seed: of z.
    """

    n_fake: int
    batch_size: int = 256
    bn_batches: int = 4
    seed: int = 0

    @classmethod
    def of(cls, study: StudyConfig, n_fake: int) -> Protocol:
        """The protocol of a study for ``n_fake`` images."""
        return cls(n_fake, study.metrics.batch_size, study.metrics.bn_batches, study.seed)

    def latents(self, latents: Latents) -> Tensor:
        """Returns z [n_fake, latent_dim (+ classes)], the same for every trial of a study."""
        return latents.draw(self.n_fake, stream(self.seed, "evaluation z"))


SHOWN = 32
"""Images of a score that people may look at: those of the first z, so that all scores show the same z."""


@dataclass(frozen=True)
class Score:
    """A Frechet distance and KID; both are None for a generator that has diverged.

    Args:
        images: the first :data:`SHOWN` images that were scored, uint8 [N, C, H, W] on the CPU.
        fault: by what it has diverged (:mod:`autogan_ray.metrics.diverged`); None for a sound one.
    """

    fid: float | None
    kid: float | None
    images: Tensor | None = field(default=None, compare=False, repr=False)
    fault: str | None = None


class Evaluator:
    """Generates, extracts and scores. It touches no global random state and no network but the argument.

    Args:
        extractor: computes features on ``device``.
        real: the set that scores are taken against.
        protocol: how fakes are generated.
        device: of the generators.
    """

    def __init__(self, extractor: Extractor, real: RealSet, protocol: Protocol, device: torch.device | str) -> None:
        self.extractor, self.real, self.protocol, self.device = extractor, real, protocol, torch.device(device)
        self._root = real.root.to(self.device)

    def features(
        self,
        make: Callable[[Tensor], Tensor],
        latents: Latents,
        moments: Moments | None = None,
        seen: Seen | None = None,
    ) -> Features | None:
        """Returns the features of ``n_fake`` images; None where the images are not finite.

        Args:
            make: z [B, latent_dim (+ classes)] -> images in [-1, 1].
            moments: gets each batch of features while it is at hand.
            seen: gets the images.
        """
        gathered = Gathered(self.protocol.n_fake)

        def use(images: Tensor) -> None:
            if seen is not None:
                seen.add(images)
            features = self.extractor.batch(images)
            gathered.add(features)
            if moments is not None:
                moments.add(features.embedding)

        return gathered.features if self._generate(make, latents, use) else None

    def images(self, make: Callable[[Tensor], Tensor], latents: Latents) -> Tensor | None:
        """Returns uint8 images [n_fake, C, H, W] on the CPU; None where the output of ``make`` is not finite."""
        parts: list[Tensor] = []
        return torch.cat(parts) if self._generate(make, latents, lambda images: parts.append(images.cpu())) else None

    @torch.inference_mode()
    def _generate(self, make: Callable[[Tensor], Tensor], latents: Latents, use: Callable[[Tensor], None]) -> bool:
        """Hands batches of uint8 images to ``use``, on their device; stops and returns False at a batch with NaN."""
        with layer_noise(stream_seed(self.protocol.seed, "evaluation noise"), self.device):
            for z in self.protocol.latents(latents).split(self.protocol.batch_size):
                batch = make(uploaded(z, self.device))
                if not bool(torch.isfinite(batch).all()):
                    return False
                use(to_uint8(batch))
        return True

    def score(self, make: Callable[[Tensor], Tensor], latents: Latents, kid: bool = True) -> Score:
        """Returns FID, and with ``kid`` KID, of a generator against the study's real set."""
        moments = Moments(self._root)
        seen = Seen(SHOWN)
        features = self.features(make, latents, moments, seen)
        if features is None:
            return Score(None, None, seen.first, IMAGES_NOT_FINITE)
        if seen.all_the_same:
            return Score(None, None, seen.first, IMAGES_ALL_THE_SAME)
        if not bool(torch.isfinite(features.embedding).all()):
            return Score(None, None, seen.first, FEATURES_NOT_FINITE)
        # The mean as torch-fidelity takes it, in float32: at 50,000 images its rounding shows in the sixth digit.
        fid = moments.frechet_distance(np.mean(features.embedding.numpy(), axis=0), self.real.statistics)
        if not math.isfinite(fid):
            return Score(None, None, seen.first, SCORE_NOT_FINITE)
        mean_kid = None
        if kid:
            embedding, seed = self.real.embedding, self.protocol.seed
            mean_kid, _ = kernel_distance(features.embedding, embedding, KID_SUBSETS, seed=seed)
        return Score(fid, mean_kid, seen.first)

    def update_batch_norm(self, network: nn.Module, make: Callable[[Tensor], Tensor], latents: Latents) -> None:
        """Re-estimates the batch-norm statistics of ``network`` from the protocol's batches through ``make``."""

        def run(index: int) -> None:
            rng = stream(self.protocol.seed, "batch-norm z", index)
            make(uploaded(latents.draw(self.protocol.batch_size, rng), self.device))

        with layer_noise(stream_seed(self.protocol.seed, "batch-norm noise"), self.device):
            reestimate_batch_norm(network, run, self.protocol.bn_batches)
