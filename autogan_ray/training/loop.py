"""Training a derived network from scratch: the same steps as a search, without an architecture to move."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autogan_ray.base.json_lines import finite
from autogan_ray.config.sections import ComputeConfig, RetrainConfig
from autogan_ray.nets.compute import compile_forward, configured
from autogan_ray.nets.gan import Discriminator, Generator
from autogan_ray.nets.processes import ALONE, Processes, divide
from autogan_ray.nets.upload import uploaded
from autogan_ray.training.data import ImageData
from autogan_ray.training.game import Game, Network
from autogan_ray.training.memory import peak_memory_mib
from autogan_ray.training.schedules import set_rates
from autogan_ray.training.steps import Ema, RunningMeans, adam, discriminator_step, generator_step
from autogan_ray.training.streams import BatchStream, Feed, layer_noise, stream, stream_seed


class TrainLoop:
    """Adversarial training by the recipe's objective, with an average of G's weights; exact under save and load.

    Args:
        build: makes both networks; it is called with the global generator seeded for this run.
        config: the recipe.
        data: all images are trained on.
        seed: of initial weights, batches and z.
        device: on which to train.
        compute: how networks are computed; None takes the defaults.
        processes: that train the networks together, each with a loop of its own; their number divides the batch sizes.
    """

    def __init__(
        self,
        build: Callable[[], tuple[Generator, Discriminator]],
        config: RetrainConfig,
        data: ImageData,
        seed: int,
        device: torch.device | str = "cpu",
        compute: ComputeConfig | None = None,
        processes: Processes = ALONE,
    ) -> None:
        self._processes = processes
        self.config, self.data, self.seed, self.device = config, data, seed, torch.device(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(seed, "initial weights"))
            generator, discriminator = build()
        self._feed = Feed(data, self.device)
        compute = compute or ComputeConfig()
        self.generator = configured(generator.to(self.device), compute, data.image_size)
        self.discriminator = configured(discriminator.to(self.device), compute, data.image_size)
        per_step_g = config.batch_size * config.d_steps_per_g_step
        self.ema = Ema(self.generator, config.decay(per_step_g), config.ema_unbiased)
        if compute.compile:
            compile_forward(self.generator, self.discriminator)
        self._adam_g, self._adam_d = (
            adam([*network.parameters()], lr, config.betas, clip_grad_norm=config.clip_grad_norm, processes=processes)
            for network, lr in ((self.generator, config.lr_g), (self.discriminator, config.lr_d))
        )
        for network in (self.generator, self.discriminator):
            divide(network, processes)  # after the average has its copy, which one process evaluates
        self._stream = BatchStream(np.arange(len(data)), config.batch_size, stream_seed(seed, "batches"))
        self.total_steps = max(config.evaluations, math.ceil(config.kimg * 1000 / config.batch_size))
        self._game = Game(config, self.total_steps, processes)
        self._means = RunningMeans()
        self.step_d = self.evaluation = self.attempt = 0
        self.spent_s = 0.0
        self.curve: list[dict[str, float | None]] = []
        """A point for each evaluation: columns of the table ``curves``, by their names."""
        self.best: dict[str, Any] = {"fid": math.inf, "ema": copy.deepcopy(self.ema.state_dict()), "kimg": 0.0}

    @property
    def images_shown(self) -> int:
        """Real images shown to D."""
        return self.step_d * self.config.batch_size

    @property
    def kimg(self) -> float:
        return self.images_shown / 1000

    def run(self, score: Callable[[nn.Module], float | None]) -> bool:
        """Trains up to the next evaluation, scores the averaged weights and keeps them where they are the best so far.

        Returns False, and does nothing, where all evaluations are done. Of several processes the first alone scores.
        """
        if self.evaluation >= self.config.evaluations:
            return False
        start, shown = time.perf_counter(), self.images_shown
        until = round(self.total_steps * (self.evaluation + 1) / self.config.evaluations)
        while self.step_d < until:
            self.step()
        speed = (self.images_shown - shown) / max(time.perf_counter() - start, 1e-9)
        self.evaluation += 1
        fid = self._processes.told(lambda: score(self.ema.network))
        self.spent_s += time.perf_counter() - start
        self.curve.append(
            {
                "kimg": self.kimg,
                "attempt": self.attempt,
                "timestamp": time.time(),
                "fid": fid,
                **{name: finite(self._mean(name)) for name in ("loss_g", "loss_d", "d_real", "d_fake")},
                "images_per_s": speed,
                "wall_s": self.spent_s,
                "peak_mem_mib": peak_memory_mib(self.device),
            }
        )
        self._means = RunningMeans()
        if fid is not None and fid < self.best["fid"]:
            self.best = {"fid": fid, "ema": copy.deepcopy(self.ema.state_dict()), "kimg": self.kimg}
        return True

    def _mean(self, name: str) -> float | None:
        return self._processes.mean(self._means.mean(name))

    def step(self) -> None:
        """Makes one step of D and, at every n-th step, one step of G."""
        if not self.generator.stochastic:
            return self._step()
        with layer_noise(stream_seed(self.seed, "layer noise", self.images_shown), self.device):
            self._step()

    def _step(self) -> None:
        config, latents, own = self.config, self.generator.latents, self._processes.own
        set_rates(config, self._adam_g, self._adam_d, self.step_d / self.total_steps)
        rng = stream(self.seed, "step", self.images_shown)
        indices = own(self._stream.indices_at(self.images_shown))
        real = self._game.shown(self._feed.batch(indices), rng)
        z = uploaded(own(latents.draw(config.batch_size, rng)), self.device)
        losses = self._game.losses(self.step_d, rng)
        d = discriminator_step(self.generator, self._with_classes(z, indices), self._adam_d, real, z, losses)
        self._means.add(loss_d=d.loss, d_real=d.real, d_fake=d.fake)
        self.step_d += 1
        if self.step_d % config.d_steps_per_g_step == 0:
            on_real = losses.scores_of_real(self._with_classes(z[:0], indices), real)
            z = uploaded(own(latents.draw(config.batch_size_g or config.batch_size, rng)), self.device)
            judged, constant = self._with_classes(z), [self.discriminator]
            self._means.add(loss_g=generator_step(self.generator, judged, self._adam_g, z, constant, losses, on_real))
            self.ema.update()

    def _with_classes(self, z: Tensor, indices: np.ndarray | None = None) -> Network:
        """Returns D as a function of images alone: real images, those at the indices if any, and fakes made of z."""
        latents = self.generator.latents
        classes = latents.classes_of(z)
        if classes is None:
            return self.discriminator
        if indices is not None:
            assert self.data.labels is not None, "classes come from labels"
            labels = torch.from_numpy(self.data.labels[indices])
            classes = torch.cat([uploaded(latents.one_hot(labels), self.device), classes])
        return lambda images: self.discriminator(images, classes=classes)

    def state_dict(self) -> dict[str, Any]:
        """Returns everything with state, between two evaluations: there the means are empty."""
        return {name: part.state_dict() for name, part in self._stateful().items()} | {
            "best": self.best,
            "curve": self.curve,
            "counters": {name: getattr(self, name) for name in ("step_d", "evaluation", "attempt", "spent_s")},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, part in self._stateful().items():
            part.load_state_dict(state[name])
        self.best, self.curve = dict(state["best"]), [*state["curve"]]
        for name, value in state["counters"].items():
            setattr(self, name, value)
        self.attempt += 1

    def _stateful(self) -> dict[str, Any]:
        networks = {"generator": self.generator, "discriminator": self.discriminator, "ema": self.ema}
        return networks | {"adam_g": self._adam_g, "adam_d": self._adam_d}
