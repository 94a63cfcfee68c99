"""Steps of a supernet's weights that are undone afterwards."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from autogan_ray.config.study import TrialConfig
from autogan_ray.nets.relaxation import Selection
from autogan_ray.nets.supernet import Supernet
from autogan_ray.nets.upload import uploaded
from autogan_ray.training.game import Game
from autogan_ray.training.steps import Ema, adam, discriminator_step, generator_step, with_selection
from autogan_ray.training.streams import BatchStream, Feed, layer_noise, stream, stream_seed


class WeightTuner:
    """Trains a supernet's weights while G's decisions are made one by one (DARTS-PT tunes between decisions).

    The averaged weights of G are trained, as these are scored. Optimisers begin anew, at the rates and betas
    that the search began with: at the end of a schedule down to 0 nothing would move. D stays the mixture at its
    expected weights, and both networks take as many steps.

    Args:
        net, ema: the supernet, and the average of its generator's weights.
        trial: the resolved configuration.
        feed: serves the images.
        indices: of the images that weights learn from, as in the search.
        device: of the networks.
    """

    def __init__(
        self,
        net: Supernet,
        ema: Ema,
        trial: TrialConfig,
        feed: Feed,
        indices: np.ndarray,
        device: torch.device,
    ) -> None:
        self._net, self._ema, self._trial, self._feed, self._device = net, ema, trial, feed, device
        self._stream = BatchStream(indices, trial.search.batch_size, stream_seed(trial.seed, "tuning batches"))
        # A few steps that no schedule counts: the penalty weighs what it weighs at the beginning.
        self._game = Game(trial.search.model_copy(update={"gamma_end": None}), total_steps=1)
        self._done = 0

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Restores weights, averages and batch-norm statistics when the block ends; :meth:`tune` is for inside it."""
        if not self._trial.derive.tune_steps:
            yield
            return
        networks = (self._net.generator, self._net.discriminator, self._ema.network)
        before = [copy.deepcopy(network.state_dict()) for network in networks]
        optim = self._trial.optim
        clip = optim.clip_grad_norm
        self._adam_g = adam([*self._net.generator.parameters()], optim.lr_g, optim.betas, clip_grad_norm=clip)
        self._adam_d = adam([*self._net.discriminator.parameters()], optim.lr_d, optim.betas, clip_grad_norm=clip)
        self._done = 0
        self._net.generator.load_state_dict(self._ema.network.state_dict())
        try:
            yield
        finally:
            for network, state in zip(networks, before, strict=True):
                network.load_state_dict(state)
                network.zero_grad(set_to_none=True)

    def tune(self, selection: Selection) -> None:
        """Makes ``derive.tune_steps`` steps at these architecture weights of G."""
        for _ in range(self._trial.derive.tune_steps):
            noise = stream_seed(self._trial.seed, "tuning layer noise", self._done)
            with layer_noise(noise, self._device):
                self._step(selection)
            self._done += 1
            self._ema.network.load_state_dict(self._net.generator.state_dict())

    def _step(self, selection_g: Selection) -> None:
        net, search = self._net, self._trial.search
        generator = with_selection(net.generator, selection_g)
        discriminator = with_selection(net.discriminator, net.arch_d.expected())
        rng = stream(self._trial.seed, "tuning z", self._done)
        counts = (search.batch_size, search.latents_g)
        z_d, z_g = (uploaded(net.generator.latents.draw(count, rng), self._device) for count in counts)
        losses = self._game.losses(self._done, rng)
        real = self._game.shown(self._feed.batch(self._stream.indices_at(self._done * search.batch_size)), rng)
        discriminator_step(generator, discriminator, self._adam_d, real, z_d, losses)
        on_real = losses.scores_of_real(discriminator, real)
        generator_step(generator, discriminator, self._adam_g, z_g, [net.discriminator], losses, on_real)
