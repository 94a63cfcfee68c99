"""One retraining: loop, checkpoints, final scores, files."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autogan_ray.export import GENERATOR, save_generator
from autogan_ray.metrics.evaluation import Evaluator, Protocol
from autogan_ray.metrics.features import Extractor
from autogan_ray.metrics.scores import (
    Statistics,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
)
from autogan_ray.metrics.study import Measure
from autogan_ray.nets.cost import genotype_cost
from autogan_ray.nets.derived import reestimate_batch_norm
from autogan_ray.nets.gan import Discriminator, Generator, Shape
from autogan_ray.parts import FixedPart
from autogan_ray.retrain import Job
from autogan_ray.training.checkpoint import STATE, load_state, save_state
from autogan_ray.training.train import TrainLoop

PRC_IMAGES = 10_000
"""Precision and recall look at most at so many of each: their cost is the product."""


class Retraining:
    """Runs a job; resumes from its folder's checkpoint where there is one."""

    def __init__(self, job: Job, measure: Measure) -> None:
        self.job, self.measure = job, measure
        metrics, config = job.study.metrics, job.study.retrain
        device = torch.device(job.device)
        model = job.model
        self.shape = Shape(
            job.genotype.image_size,
            measure.data.channels,
            config.channels_g or model["channels_g"],
            config.channels_d or model["channels_d"],
            model["latent_dim"],
            model["norm_g"],
            model["head_d"],
        )
        protocol = Protocol(metrics.n_fake_search, metrics.batch_size, metrics.bn_batches, job.study.seed)
        extractor = Extractor(measure.extractor, device)
        self.evaluator = Evaluator(extractor, measure.real, protocol, device)
        self.final = Evaluator(extractor, measure.real, replace(protocol, n_fake=metrics.n_fake_final), device)
        self.loop = TrainLoop(self._networks, config, measure.data, job.seed, device)

    def _networks(self) -> tuple[Generator, Discriminator]:
        space, choices = self.job.space, self.job.genotype.choices
        if self.job.study.retrain.discriminator == "fixed":
            space_d = space.model_copy(update={"discriminator": FixedPart(kind="autogan_fixed")})
        else:
            space_d = space
        return Generator(space, self.shape, choices), Discriminator(space_d, self.shape, choices)

    def run(self) -> dict[str, Any]:
        """Train to the end; files and scores are those of the best evaluation's averaged weights."""
        folder = self.job.folder / "checkpoint"
        untrained = self.score(self.loop.ema.network)
        if (folder / STATE).exists():
            self.loop.load_state_dict(load_state(folder))
        while self.loop.run(self.score):
            save_state(folder, self.loop.state_dict())
        self.loop.ema.load_state_dict(self.loop.best["ema"])
        generator = self._settled(self.loop.ema.network)
        return {"row": self._row(generator), "fid_untrained": untrained, "wall_s": self.loop.spent_s}

    def score(self, network: nn.Module) -> float | None:
        """FID at the search's number of fakes."""
        return self.evaluator.score(self._settled(network), self.shape.latent_dim, kid=False).fid

    def _settled(self, network: nn.Module) -> nn.Module:
        def run(index: int) -> Tensor:
            images: Tensor = network(self.evaluator.training_latents(self.shape.latent_dim, index))
            return images

        reestimate_batch_norm(network, run, self.evaluator.protocol.bn_batches)
        return network.eval()

    def _row(self, generator: nn.Module) -> dict[str, Any]:
        job, measure, folder = self.job, self.measure, self.job.folder
        folder.mkdir(parents=True, exist_ok=True)
        save_generator(folder / GENERATOR, generator, job.genotype, job.space, self.shape)
        (folder / "genotype.json").write_text(job.genotype.to_json(), encoding="utf-8")
        save_grid(folder / "samples.png", self.sample(generator, 64))
        cost = genotype_cost(job.space, self.shape, job.genotype)
        scores = self._scores(generator)
        return {
            "evaluation_id": job.evaluation_id,
            "source": job.source,
            "trial_id": job.trial_id,
            "genotype_id": job.genotype.genotype_id,
            "name": job.name,
            "seed": job.seed,
            "kimg": self.loop.best["kimg"],
            "weights": "ema",
            "n_fake": self.final.protocol.n_fake,
            "n_real": measure.real.statistics.count,
            "extractor": measure.extractor.name,
            "extractor_digest": measure.extractor.digest,
            **scores,
            "params_g": cost["params_g"],
            "macs_g": cost["macs_g"],
            "wall_s": self.loop.spent_s,
            "checkpoint_path": str(folder / GENERATOR),
            "samples_path": str(folder / "samples.png"),
            "timestamp": time.time(),
        }

    def _scores(self, generator: nn.Module) -> dict[str, float | None]:
        features = self.final.features(generator, self.shape.latent_dim)
        names = ("fid", "kid_mean", "kid_std", "is_mean", "is_std", "precision", "recall")
        if features is None:
            return dict.fromkeys(names)
        fake, real = features.embedding, self.measure.real
        precision, recall = precision_recall(fake[:PRC_IMAGES], real.embedding[:PRC_IMAGES])
        found = (
            frechet_distance(Statistics.of(fake), real.statistics),
            *kernel_distance(fake, real.embedding, seed=self.job.study.seed),
            *inception_score(features.logits),
            precision,
            recall,
        )
        return dict(zip(names, found, strict=True))

    @torch.no_grad()
    def sample(self, generator: nn.Module, count: int) -> Tensor:
        """Images in [-1, 1] of the protocol's first z."""
        z = self.evaluator.protocol.latents(self.shape.latent_dim)[:count]
        images: Tensor = generator(z.to(self.loop.device)).cpu()
        return images


def save_grid(file: Path, images: Tensor, columns: int = 8, pixels: int = 512) -> None:
    """A PNG of images in [-1, 1], enlarged by a whole factor so that small ones can be seen."""
    from torchvision.utils import make_grid, save_image

    factor = max(1, pixels // (columns * images.shape[-1]))
    large = images.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)
    save_image(make_grid(large, nrow=columns, padding=2, normalize=True, value_range=(-1, 1)), file)
