"""Doing one retraining: networks, training loop, checkpoints, final scores, files."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.penalty import check_penalty
from autogan_ray.metrics.diverged import divergence
from autogan_ray.metrics.evaluation import Evaluator, Protocol
from autogan_ray.metrics.features import Extractor
from autogan_ray.metrics.measure import Measure
from autogan_ray.metrics.scores import final_scores
from autogan_ray.nets.cost.count import genotype_cost
from autogan_ray.nets.gan import Discriminator, Generator, Latents
from autogan_ray.nets.processes import ALONE, Processes
from autogan_ray.nets.shape import Shape
from autogan_ray.results.retrained import GENERATOR, GENOTYPE
from autogan_ray.retraining.generator_file import save_generator
from autogan_ray.retraining.grid import save_grid
from autogan_ray.retraining.job import Job
from autogan_ray.spaces.blocks import FixedPart
from autogan_ray.spaces.space import SearchSpace
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
    choices = job.genotype.choices
    return Generator(job.space, shape, choices), Discriminator(_trained_space(job), shape, choices)


def _trained_space(job: Job) -> SearchSpace:
    """The space of a job's genotype with the discriminator that its recipe trains."""
    if job.study.retrain.discriminator == "fixed":
        return job.space.model_copy(update={"discriminator": FixedPart(kind="autogan_fixed")})
    return job.space


def check_networks(jobs: Sequence[Job], data: ImageData) -> None:
    """Builds the networks of every job once, without memory, before the first job is trained.

    Raises ConfigError naming the job whose networks cannot be built, or cannot take its recipe's gradient penalty.
    """
    for job in jobs:
        try:
            with torch.device("meta"):
                networks_of(job, shape_of(job, data))
            choices_d = dict(job.genotype.discriminator).values()
            check_penalty(job.study.retrain, "retrain", _trained_space(job), choices_d)
        except ConfigError as error:
            raise ConfigError(f"{job.name}: {error}") from error


def row_before(job: Job, measure: Measure) -> dict[str, Any]:
    """Returns what the row of a job in the table ``evaluations`` holds before it is trained."""
    return {
        "evaluation_id": job.evaluation_id,
        "source": job.source,
        "trial_id": job.trial_id,
        "genotype_id": job.genotype.genotype_id,
        "name": job.name,
        "seed": job.seed,
        "weights": "ema",
        "n_real": measure.real.statistics.count,
        "extractor": measure.extractor.name,
        "extractor_digest": measure.extractor.digest,
        **genotype_cost(job.space, shape_of(job, measure.data), job.genotype),
        "recipe": job.recipe,
        "objective": job.study.retrain.objective,
        "stage": job.stage,
        "chosen_by": job.chosen_by,
        "fresh_seed": job.fresh_seed,
    }


class Retraining:
    """The training of one job.

    A plain ``run()`` trains to the end; ``points()``, ``state_dict()`` and ``finish()`` are its parts, between which a
    caller may save and load.

    Args:
        measure: data, extractor and real statistics, by which the networks are trained and scored.
        processes: that train them together, each with a ``Retraining`` of its own, whose ``points()`` all of them go
            through; the first alone scores, and calls ``finish()``.
    """

    def __init__(self, job: Job, measure: Measure, processes: Processes = ALONE) -> None:
        self.job, self.measure, self._processes = job, measure, processes
        metrics, device = job.study.metrics, torch.device(job.device)
        self.shape = shape_of(job, measure.data)
        self.latents = Latents(self.shape.latent_dim, self.shape.class_shares)
        extractor = Extractor(measure.extractor, device)
        self.evaluator, self.final = (
            Evaluator(extractor, measure.real, Protocol.of(job.study, n_fake), device)
            for n_fake in (metrics.n_fake_search, metrics.n_fake_final)
        )
        recipe, compute = job.study.retrain, job.study.compute
        self.loop = TrainLoop(
            lambda: networks_of(job, self.shape), recipe, measure.data, job.seed, device, compute, processes
        )
        self.shown: Tensor | None = None
        """Images of the latest score, uint8 [N, C, H, W]; None where they were not finite."""
        self._untrained: dict[str, float | None] = {}

    def run(self) -> dict[str, Any]:
        """Trains to the end and returns what :meth:`finish` does."""
        for _ in self.points():
            pass
        return self.finish()

    def points(self) -> Iterator[dict[str, Any]]:
        """Trains, and yields after each evaluation its point of the curve: a row of the table ``curves``, its number
        as ``evaluation``, and whether it ``diverged``, which ends the training."""
        self.score_untrained()
        while not self.diverged and self.loop.run(self.score):
            yield self.curve[-1]

    @property
    def diverged(self) -> bool:
        """Whether the training has come to weights or images that are not finite, or to one image for every z."""
        return bool(self.loop.curve) and self.loop.curve[-1]["fid"] is None

    @property
    def curve(self) -> list[dict[str, Any]]:
        """The points so far."""
        unbiased = self.job.study.retrain.ema_unbiased
        scored = {"n_fake": self.evaluator.protocol.n_fake, "fid_average": "ema_unbiased" if unbiased else "ema"}
        return [
            point | scored | {"evaluation": number, "diverged": point["fid"] is None}
            for number, point in enumerate(self.loop.curve, start=1)
        ]

    def score_untrained(self) -> float | None:
        """Returns the score of the generator before its first step, which is found before that step, once; None where
        it is not finite."""
        if not self._untrained:
            self._untrained["fid"] = self._processes.told(lambda: self.score(self.loop.ema.network))
        return self._untrained["fid"]

    def state_dict(self) -> dict[str, Any]:
        """Returns everything with state, between two points."""
        return self.loop.state_dict() | {"untrained": self._untrained}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.loop.load_state_dict(state)
        self._untrained = dict(state.get("untrained", {}))

    def finish(self) -> dict[str, Any]:
        """Writes the job's files, and scores the averaged weights at the best evaluation.

        Returns the row of the table ``evaluations``, the score of the untrained generator, the scores on the way, and
        the seconds of training. The row has no scores where the training diverged before it was scored once.
        """
        self.loop.ema.load_state_dict(self.loop.best["ema"])
        generator = self._ready_to_score(self.loop.ema.network)
        return {
            "row": self._row(generator),
            "fid_untrained": self.score_untrained(),
            "curve": self.curve,
            "wall_s": self.loop.spent_s,
        }

    def score(self, network: nn.Module) -> float | None:
        """The Frechet distance at the search's number of fakes; None for a training that has diverged."""
        networks = (self.loop.generator, self.loop.discriminator)
        if divergence({}, {"weights": [weight for each in networks for weight in each.parameters()]}) is not None:
            self.shown = None
            return None
        score = self.evaluator.score(self._ready_to_score(network), self.latents, kid=False)
        self.shown = score.images
        return score.fid

    def _ready_to_score(self, network: nn.Module) -> nn.Module:
        """The network in evaluation mode, with its batch-norm statistics estimated anew."""
        self.evaluator.update_batch_norm(network, network, self.latents)
        return network.eval()

    def _row(self, generator: nn.Module) -> dict[str, Any]:
        job, folder = self.job, self.job.folder
        folder.mkdir(parents=True, exist_ok=True)
        save_generator(folder / GENERATOR, generator, job.genotype, job.space, self.shape)
        (folder / GENOTYPE).write_text(job.genotype.to_json(), encoding="utf-8")
        save_grid(folder / SAMPLES, self.sample(generator, 64))
        sound = math.isfinite(self.loop.best["fid"])
        fakes = self.final.features(generator, self.latents) if sound else None
        return {
            "kimg": self.loop.best["kimg"],
            "n_fake": self.final.protocol.n_fake,
            **final_scores(fakes, self.measure.real, job.study.seed),
            **row_before(job, self.measure),
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
