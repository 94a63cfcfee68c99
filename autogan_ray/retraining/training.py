"""Doing one retraining: networks, training loop, checkpoints, final scores, files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autogan_ray.base.errors import ConfigError
from autogan_ray.metrics.evaluation import Evaluator, Protocol
from autogan_ray.metrics.features import Extractor
from autogan_ray.metrics.measure import Measure
from autogan_ray.metrics.scores import final_scores
from autogan_ray.nets.cost.count import genotype_cost
from autogan_ray.nets.gan import Discriminator, Generator, Latents
from autogan_ray.nets.shape import Shape
from autogan_ray.results.grids import curve_grid_file, encode_grid, write_grid
from autogan_ray.results.retrained import GENERATOR, GENOTYPE
from autogan_ray.retraining.generator_file import save_generator
from autogan_ray.retraining.grid import save_grid
from autogan_ray.retraining.job import Job
from autogan_ray.spaces.blocks import FixedPart
from autogan_ray.training.checkpoint import STATE, load_state, save_state
from autogan_ray.training.data import ImageData
from autogan_ray.training.loop import TrainLoop
from autogan_ray.training.streams import layer_noise, stream_seed

SAMPLES = "samples.png"


def shape_of(job: Job, data: ImageData) -> Shape:
    """The shape of a job's networks: by the recipe, and by the search's settings where the recipe sets nothing.

    A derived discriminator that takes classes makes the networks class-conditional where the data has labels.
    """
    config, shape = job.study.retrain, Shape(job.genotype.image_size, data.channels, **job.model)
    norm = {"space": None, None: shape.norm_g}.get(config.norm_g, config.norm_g)
    shares: tuple[float, ...] = ()
    if data.labels is not None and config.discriminator == "derived" and job.space.takes_classes(job.genotype.choices):
        shares = tuple((np.bincount(data.labels) / len(data)).tolist())
    named = {name: getattr(config, name) for name in ("channels_g", "channels_d", "latent_dim", "head_d")}
    shape = replace(shape, norm_g=norm, class_shares=shares, spectral_norm_d=config.spectral_norm_in_force)
    return replace(shape, **{name: v for name, v in named.items() if v is not None})


def networks_of(job: Job, shape: Shape) -> tuple[Generator, Discriminator]:
    """New networks of a job's genotype; the discriminator is AutoGAN's where the recipe says ``fixed``."""
    space, choices = job.space, job.genotype.choices
    if job.study.retrain.discriminator == "fixed":
        space_d = space.model_copy(update={"discriminator": FixedPart(kind="autogan_fixed")})
    else:
        space_d = space
    return Generator(space, shape, choices), Discriminator(space_d, shape, choices)


def check_networks(jobs: Sequence[Job], data: ImageData) -> None:
    """Builds the networks of every job once, without memory, before the first job is trained.

    Raises ConfigError naming the job whose networks cannot be built.
    """
    for job in jobs:
        try:
            with torch.device("meta"):
                networks_of(job, shape_of(job, data))
        except ConfigError as error:
            raise ConfigError(f"{job.name}: {error}") from error


class Retraining:
    """The training of one job, from its folder's checkpoint where there is one.

    Args:
        measure: data, extractor and real statistics, by which the networks are trained and scored.
    """

    def __init__(self, job: Job, measure: Measure) -> None:
        self.job, self.measure = job, measure
        metrics, device = job.study.metrics, torch.device(job.device)
        self.shape = shape_of(job, measure.data)
        self.latents = Latents(self.shape.latent_dim, self.shape.class_shares)
        extractor = Extractor(measure.extractor, device)
        self.evaluator, self.final = (
            Evaluator(extractor, measure.real, Protocol.of(job.study, n_fake), device)
            for n_fake in (metrics.n_fake_search, metrics.n_fake_final)
        )
        recipe, compute = job.study.retrain, job.study.compute
        self.loop = TrainLoop(lambda: networks_of(job, self.shape), recipe, measure.data, job.seed, device, compute)

    def run(self) -> dict[str, Any]:
        """Trains to the end, then writes files and scores of the averaged weights at the best evaluation.

        Returns the row of the table ``evaluations``, the score of the untrained generator, the scores on the way, and
        the seconds of training.
        """
        folder = self.job.folder / "checkpoint"
        untrained = self.score(self.loop.ema.network)
        if (folder / STATE).exists():
            self.loop.load_state_dict(load_state(folder))
        while self.loop.run(self.score):
            save_state(folder, self.loop.state_dict())
        self.loop.ema.load_state_dict(self.loop.best["ema"])
        generator = self._ready_to_score(self.loop.ema.network)
        return {
            "row": self._row(generator),
            "fid_untrained": untrained,
            "curve": [point | self._averaged for point in self.loop.curve],
            "wall_s": self.loop.spent_s,
        }

    @property
    def _averaged(self) -> dict[str, Any]:
        """What was scored on the way: by how many images, and of which average of G's weights."""
        unbiased = self.job.study.retrain.ema_unbiased
        return {"n_fake": self.evaluator.protocol.n_fake, "fid_average": "ema_unbiased" if unbiased else "ema"}

    def score(self, network: nn.Module) -> float | None:
        """The Frechet distance at the search's number of fakes; None where it is not finite. Leaves a picture."""
        score = self.evaluator.score(self._ready_to_score(network), self.latents, kid=False)
        if self.job.study.results.grids and score.images is not None:
            write_grid(curve_grid_file(self.job.folder, self.loop.kimg), encode_grid(score.images.numpy()))
        return score.fid

    def _ready_to_score(self, network: nn.Module) -> nn.Module:
        """The network in evaluation mode, with its batch-norm statistics estimated anew."""
        self.evaluator.update_batch_norm(network, network, self.latents)
        return network.eval()

    def _row(self, generator: nn.Module) -> dict[str, Any]:
        job, measure, folder = self.job, self.measure, self.job.folder
        folder.mkdir(parents=True, exist_ok=True)
        save_generator(folder / GENERATOR, generator, job.genotype, job.space, self.shape)
        (folder / GENOTYPE).write_text(job.genotype.to_json(), encoding="utf-8")
        save_grid(folder / SAMPLES, self.sample(generator, 64))
        cost = genotype_cost(job.space, self.shape, job.genotype)
        fakes = self.final.features(generator, self.latents)
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
            **final_scores(fakes, measure.real, job.study.seed),
            **cost,
            "recipe": job.recipe,
            "objective": job.study.retrain.objective,
            "wall_s": self.loop.spent_s,
            "checkpoint_path": GENERATOR,
            "samples_path": SAMPLES,
            "timestamp": time.time(),
        }

    @torch.no_grad()
    def sample(self, generator: nn.Module, count: int) -> Tensor:
        """Images [count, C, H, W] in [-1, 1] of the first z that the protocol draws, on the CPU."""
        z = self.evaluator.protocol.latents(self.latents)[:count]
        with layer_noise(stream_seed(self.evaluator.protocol.seed, "sample noise"), self.loop.device):
            images: Tensor = generator(z.to(self.loop.device)).cpu()
        return images
