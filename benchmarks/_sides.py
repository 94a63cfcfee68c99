"""The two sides of the comparison: the package as a study sets it to compute, and its networks in their plain form.

Both are the package's own loop code, as a trial and a retraining run it, from the same weights, images and noise.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import torch
from _setups import Setup
from torch import Tensor, nn

from autogan_ray.config.sections import ComputeConfig
from autogan_ray.metrics.evaluation import Evaluator, Protocol
from autogan_ray.metrics.features import Extractor, Features
from autogan_ray.metrics.scores import RealSet
from autogan_ray.nets.gan import Discriminator, Generator
from autogan_ray.search.loop import SearchLoop
from autogan_ray.training.loop import TrainLoop

PLAIN = ComputeConfig(merge=False, channels_last=False)
"""Every operation of every decision a module call of its own, float32, contiguous, not compiled."""


def _pixels(images: Tensor) -> Features:
    """Stands where features are extracted, which nothing here asks for: the first pixels."""
    flat = images.flatten(1)[:, :2].float()
    return Features(flat, flat)


class Side:
    """One iteration of a search, one step of a retraining, one sampling pass.

    Args:
        name: ``product``, ``plain`` or ``against``.
    """

    def __init__(self, name: str, setup: Setup, device: torch.device) -> None:
        self.name, self.setup = name, setup
        protocol = Protocol(setup.sampled, setup.sample_batch)
        extractor = cast(Extractor, _pixels)
        self._evaluator = Evaluator(extractor, RealSet.of(extractor, setup.data.images[:64]), protocol, device)
        self.loop = SearchLoop(setup.trial, setup.space, setup.data, self._evaluator, evaluations=1, device=device)

        def build() -> tuple[Generator, Discriminator]:
            shape, choices = setup.shape_retrain, setup.choices
            return Generator(setup.space, shape, choices), Discriminator(setup.space_d, shape, choices)

        trial = setup.trial
        self.training = TrainLoop(build, setup.retrain, setup.data, trial.seed, device, trial.compute)
        self._sampled = copy.deepcopy(self.training.ema.network).eval()

    def search(self) -> None:
        """n steps of D and one of G, on logits and weights."""
        for _ in range(self.setup.trial.search.d_steps_per_g_step):
            self.loop.step()

    def retrain(self) -> None:
        """n steps of D and one of G, of a derived network."""
        for _ in range(self.setup.retrain.d_steps_per_g_step):
            self.training.step()

    def sample(self) -> Tensor:
        """Images of a derived generator, uint8 [N, C, H, W] on the CPU."""
        images = self._evaluator.images(self._sampled, self.training.generator.latents)
        assert images is not None, "an untrained generator makes finite images"
        return images

    def task(self, name: str) -> Callable[[], Any]:
        """``search``, ``retrain`` or ``sample``, as a function without arguments."""
        return {"search": self.search, "retrain": self.retrain, "sample": self.sample}[name]

    def networks(self) -> dict[str, nn.Module]:
        """``search_g``, ``search_d``, ``retrain_g``, ``retrain_d``."""
        return {
            "search_g": self.loop.net.generator,
            "search_d": self.loop.net.discriminator,
            "retrain_g": self.training.generator,
            "retrain_d": self.training.discriminator,
        }

    def logits(self) -> dict[str, nn.Parameter]:
        """``logits_g``, ``logits_d``."""
        return {"logits_g": self.loop.net.arch_g.logits, "logits_d": self.loop.net.arch_d.logits}

    def forget_gradients(self) -> None:
        """So that gradients of an earlier step are not in memory."""
        for parameter in [*self.logits().values(), *(p for net in self.networks().values() for p in net.parameters())]:
            parameter.grad = None


def product(setup: Setup, device: torch.device) -> Side:
    """The package as the setup says."""
    return Side("product", setup, device)


def plain(setup: Setup, device: torch.device) -> Side:
    """The package with its networks in their plain form."""
    return Side("plain", computing(setup, PLAIN), device)


def computing(setup: Setup, compute: ComputeConfig) -> Setup:
    """The same setup, computed otherwise."""
    return replace(setup, trial=setup.trial.model_copy(update={"compute": compute}))
