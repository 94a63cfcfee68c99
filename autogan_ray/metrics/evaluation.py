"""One study's way of scoring a generator: the same real set, number of fakes, z and 8-bit images for everybody."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from autogan_ray.config.study import StudyConfig
from autogan_ray.metrics.features import Extractor, Features, Gathered
from autogan_ray.metrics.moments import Moments
from autogan_ray.metrics.scores import Statistics, covariance_root, kernel_distance
from autogan_ray.nets.derived import reestimate_batch_norm
from autogan_ray.nets.gan import Latents
from autogan_ray.nets.upload import uploaded
from autogan_ray.training.data import to_uint8
from autogan_ray.training.streams import layer_noise, stream, stream_seed

DIVERGED_FID = 1e9
"""Reported in place of a score that is not finite: larger than any real one, and finite, as ASHA never stops NaN."""

KID_SUBSETS = 10
"""During a search; a final score takes the published 100."""


@dataclass(frozen=True)
class RealSet:
    """What is known of the real images: a picklable value, made once a study and shared by all trials.

    Args:
        statistics: of all real features.
        root: float64 [D, rank], of their covariance: found once, as it costs more than all the rest of a distance.
        embedding: float32 [N, D] of at most ``KEPT`` real images, for KID and for precision and recall.
    """

    statistics: Statistics
    root: Tensor
    embedding: Tensor

    KEPT = 10_000

    @classmethod
    def of(cls, extractor: Extractor, images: np.ndarray) -> RealSet:
        """Args: images: uint8 [N, C, H, W]."""
        features = extractor(torch.from_numpy(images.copy()))
        statistics = Statistics.of(features.embedding)
        # A slice of its own: a view would carry all images' features through every pickle.
        return cls(statistics, covariance_root(statistics), features.embedding[: cls.KEPT].clone())


@dataclass(frozen=True)
class Protocol:
    """How many fakes, from which z, in which batches; and how batch-norm statistics are handled."""

    n_fake: int
    batch_size: int = 256
    bn_batches: int = 4
    seed: int = 0

    @classmethod
    def of(cls, study: StudyConfig, n_fake: int) -> Protocol:
        """The protocol of a study for ``n_fake`` images."""
        return cls(n_fake, study.metrics.batch_size, study.metrics.bn_batches, study.seed)

    def latents(self, latents: Latents, purpose: str = "evaluation z") -> Tensor:
        """z [n_fake, latent_dim (+ classes)], the same for every trial of a study."""
        return latents.draw(self.n_fake, stream(self.seed, purpose))


@dataclass(frozen=True)
class Score:
    """``fid`` and ``kid`` are None where images or features were not finite."""

    fid: float | None
    kid: float | None
    n_fake: int


class Evaluator:
    """Generates, extracts, scores. Touches no global random state and no network but the one handed in."""

    def __init__(self, extractor: Extractor, real: RealSet, protocol: Protocol, device: torch.device | str) -> None:
        self.extractor, self.real, self.protocol, self.device = extractor, real, protocol, torch.device(device)
        self._root = real.root.to(self.device)

    def features(
        self, make: Callable[[Tensor], Tensor], latents: Latents, moments: Moments | None = None
    ) -> Features | None:
        """Features of ``n_fake`` images of ``make`` (z -> images in [-1, 1]); None where these are not finite.

        Args: moments: gets each batch while it is at hand.
        """
        gathered = Gathered(self.protocol.n_fake)

        def use(images: Tensor) -> None:
            found = self.extractor.batch(images)
            gathered.add(found)
            if moments is not None:
                moments.add(found.embedding)

        return gathered.features if self._generate(make, latents, use) else None

    def images(self, make: Callable[[Tensor], Tensor], latents: Latents) -> Tensor | None:
        """uint8 [n_fake, C, H, W] on the CPU; None where the output is not finite."""
        parts: list[Tensor] = []
        return torch.cat(parts) if self._generate(make, latents, lambda images: parts.append(images.cpu())) else None

    @torch.inference_mode()
    def _generate(self, make: Callable[[Tensor], Tensor], latents: Latents, use: Callable[[Tensor], None]) -> bool:
        """Hand ``use`` batches of uint8 images, on the device they were made on; False, and no more, at one of NaN."""
        with layer_noise(stream_seed(self.protocol.seed, "evaluation noise"), self.device):
            for z in self.protocol.latents(latents).split(self.protocol.batch_size):
                batch = make(uploaded(z, self.device))
                if not bool(torch.isfinite(batch).all()):
                    return False
                use(to_uint8(batch))
        return True

    def score(self, make: Callable[[Tensor], Tensor], latents: Latents, kid: bool = True) -> Score:
        """FID, and KID if wanted, of a generator against the study's real set."""
        moments = Moments(self._root)
        features = self.features(make, latents, moments)
        if features is None or not bool(torch.isfinite(features.embedding).all()):
            return Score(None, None, self.protocol.n_fake)
        # The mean as torch-fidelity takes it, in float32: at 50,000 images its rounding shows in the sixth digit.
        fid = moments.frechet_distance(np.mean(features.embedding.numpy(), axis=0), self.real.statistics)
        distance = None
        if kid:
            found = kernel_distance(features.embedding, self.real.embedding, KID_SUBSETS, seed=self.protocol.seed)
            distance = found[0]
        return Score(fid if math.isfinite(fid) else None, distance, self.protocol.n_fake)

    def settle(self, network: nn.Module, make: Callable[[Tensor], Tensor], latents: Latents) -> None:
        """Re-estimate the network's batch-norm statistics over the protocol's batches through ``make``."""

        def run(index: int) -> None:
            rng = stream(self.protocol.seed, "batch-norm z", index)
            make(uploaded(latents.draw(self.protocol.batch_size, rng), self.device))

        with layer_noise(stream_seed(self.protocol.seed, "batch-norm noise"), self.device):
            reestimate_batch_norm(network, run, self.protocol.bn_batches)
