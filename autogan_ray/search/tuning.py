"""Steps of a supernet's weights on loan: after them everything is as it was."""

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
from autogan_ray.training.data import BatchStream, ImageData, gather
from autogan_ray.training.ema import Ema
from autogan_ray.training.steps import adam, discriminator_step, frozen, generator_step
from autogan_ray.training.streams import layer_noise, stream, stream_seed


class WeightTuner:
    """Trains a supernet's weights while G's choices are settled one by one (DARTS-PT tunes between decisions).

    It is the averaged weights of G that go on, as these are what is scored. Optimisers begin anew, at the search's
    rates; D stays the mixture at its expected weights, and both networks take as many steps.

    Args:
        indices: images for the weights, as in the search.
    """

    def __init__(
        self,
        net: Supernet,
        ema: Ema,
        trial: TrialConfig,
        data: ImageData,
        indices: np.ndarray,
        device: torch.device | str,
    ) -> None:
        self._net, self._ema, self._trial, self._data = net, ema, trial, data
        self._device = torch.device(device)
        batch = trial.search.batch_size
        self._stream = BatchStream(indices, batch, stream_seed(trial.seed, "tuning batches"))
        self._done = 0

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Weights, averages and batch-norm statistics are what they were, once this is left."""
        if not self._trial.derive.tune_steps:
            yield
            return
        networks = (self._net.generator, self._net.discriminator, self._ema.network)
        before = [copy.deepcopy(network.state_dict()) for network in networks]
        optim = self._trial.optim
        self._adam_g = adam([*self._net.generator.parameters()], optim.lr_g, optim.betas)
        self._adam_d = adam([*self._net.discriminator.parameters()], optim.lr_d, optim.betas)
        self._done = 0
        self._net.generator.load_state_dict(self._ema.network.state_dict())
        try:
            yield
        finally:
            for network, state in zip(networks, before, strict=True):
                network.load_state_dict(state)
                network.zero_grad(set_to_none=True)

    def tune(self, selection: Selection) -> None:
        """``derive.tune_steps`` steps with these weights of G's choices; only inside of :meth:`borrowed`."""
        for _ in range(self._trial.derive.tune_steps):
            noise = stream_seed(self._trial.seed, "tuning layer noise", self._done)
            with layer_noise(noise, self._device):
                self._step(selection)
            self._done += 1
            self._ema.network.load_state_dict(self._net.generator.state_dict())

    def _step(self, chosen_g: Selection) -> None:
        net, batch = self._net, self._trial.search.batch_size
        chosen_d = net.arch_d.expected()
        rng = stream(self._trial.seed, "tuning z", self._done)
        z_d, z_g = (uploaded(net.generator.latents.draw(batch, rng), self._device) for _ in range(2))
        real = uploaded(gather(self._data, self._stream.indices_at(self._done * batch)), self._device)
        assert self._adam_g is not None and self._adam_d is not None
        with torch.no_grad():
            fake = net.generator(z_d, chosen_g)
        discriminator_step(lambda x: net.discriminator(x, chosen_d), self._adam_d, real, fake)
        with frozen(net.discriminator):
            generator_step(
                lambda x: net.discriminator(x, chosen_d), lambda z: net.generator(z, chosen_g), self._adam_g, z_g
            )
