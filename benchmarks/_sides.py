"""The two sides of the comparison. Each can do one iteration of a search, one step of a retraining, one sampling pass.

The product's side is the package's own loop code, as a trial and a retraining run it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, cast

import torch
from _setups import Setup
from _textbook_loops import TextbookRetraining, TextbookSearch, textbook_sampling
from textbook import Discriminator, Generator
from torch import Tensor, nn

from autogan_ray.metrics.evaluation import Evaluator
from autogan_ray.metrics.evaluation import Protocol as Scoring
from autogan_ray.metrics.features import Extractor, Features
from autogan_ray.metrics.scores import RealSet
from autogan_ray.nets import gan
from autogan_ray.search.loop import SearchLoop
from autogan_ray.training.loop import TrainLoop
from autogan_ray.training.streams import stream


def _pixels(images: Tensor) -> Features:
    """Stands where features are extracted, which nothing here asks for: the first pixels."""
    flat = images.flatten(1)[:, :2].float()
    return Features(flat, flat)


class Side(Protocol):
    """``search``: n D steps and one G step, logits and weights; ``retrain``: the same without logits."""

    name: str
    setup: Setup

    def search(self) -> None: ...

    def retrain(self) -> None: ...

    def sample(self) -> Tensor:
        """uint8 [N, C, H, W] on the CPU."""

    def networks(self) -> dict[str, nn.Module]:
        """``search_g``, ``search_d``, ``retrain_g``, ``retrain_d``."""

    def logits(self) -> dict[str, nn.Parameter]:
        """``logits_g``, ``logits_d``."""


class Product:
    """The package itself."""

    name = "product"

    def __init__(self, setup: Setup, device: torch.device) -> None:
        self.setup = setup
        scoring = Scoring(setup.sampled, setup.sample_batch)
        extractor = cast(Extractor, _pixels)
        self._evaluator = Evaluator(extractor, RealSet.of(extractor, setup.data.images[:64]), scoring, device)
        self.loop = SearchLoop(setup.trial, setup.space, setup.data, self._evaluator, evaluations=1, device=device)

        def build() -> tuple[gan.Generator, gan.Discriminator]:
            shape, choices = setup.shape_retrain, setup.choices
            return gan.Generator(setup.space, shape, choices), gan.Discriminator(setup.space_d, shape, choices)

        trial = setup.trial
        self.training = TrainLoop(build, setup.retrain, setup.data, trial.seed, device, trial.compute)
        self._sampled = copy.deepcopy(self.training.ema.network).eval()

    def search(self) -> None:
        for _ in range(self.setup.trial.search.d_steps_per_g_step):
            self.loop.step()

    def retrain(self) -> None:
        for _ in range(self.setup.retrain.d_steps_per_g_step):
            self.training.step()

    def sample(self) -> Tensor:
        images = self._evaluator.images(self._sampled, self.training.generator.latents)
        assert images is not None, "an untrained generator makes finite images"
        return images

    def networks(self) -> dict[str, nn.Module]:
        return {
            "search_g": self.loop.net.generator,
            "search_d": self.loop.net.discriminator,
            "retrain_g": self.training.generator,
            "retrain_d": self.training.discriminator,
        }

    def logits(self) -> dict[str, nn.Parameter]:
        return {"logits_g": self.loop.net.arch_g.logits, "logits_d": self.loop.net.arch_d.logits}


class Textbook:
    """The plain form, with the weights and logits that a product's side has at this moment."""

    name = "textbook"

    def __init__(self, setup: Setup, device: torch.device, product: Product) -> None:
        self.setup, self._device = setup, device
        self.loop = TextbookSearch(setup.trial, setup.space, setup.shape, setup.data, device)
        net, training = product.loop.net, product.training
        self.loop.load(net.generator.state_dict(), net.discriminator.state_dict())
        self.loop.logits_g.load(net.arch_g.state_dict())
        self.loop.logits_d.load(net.arch_d.state_dict())
        shape = setup.shape_retrain
        pair = Generator(setup.space, shape, setup.choices), Discriminator(setup.space_d, shape, setup.choices)
        self.training = TextbookRetraining(pair, setup.retrain, shape.latent_dim, setup.data, setup.trial.seed, device)
        self.training.load(training.generator.state_dict(), training.discriminator.state_dict())
        self._sampled = copy.deepcopy(self.training.generator).eval()

    def search(self) -> None:
        with strict_float32(self._device):
            for _ in range(self.setup.trial.search.d_steps_per_g_step):
                self.loop.step()

    def retrain(self) -> None:
        with strict_float32(self._device):
            for _ in range(self.setup.retrain.d_steps_per_g_step):
                self.training.step()

    def sample(self) -> Tensor:
        z = torch.randn(self.setup.sampled, self.setup.shape_retrain.latent_dim, generator=stream(0, "evaluation z"))
        with strict_float32(self._device):
            return textbook_sampling(self._sampled, z, self.setup.sample_batch, self._device)

    def networks(self) -> dict[str, nn.Module]:
        return {
            "search_g": self.loop.generator,
            "search_d": self.loop.discriminator,
            "retrain_g": self.training.generator,
            "retrain_d": self.training.discriminator,
        }

    def logits(self) -> dict[str, nn.Parameter]:
        return {"logits_g": self.loop.logits_g.logits, "logits_d": self.loop.logits_d.logits}


def forget_gradients(side: Side) -> None:
    """So that gradients of an earlier step are not in memory."""
    for parameter in [*side.logits().values(), *(p for net in side.networks().values() for p in net.parameters())]:
        parameter.grad = None


def task_of(side: Side, task: str) -> Callable[[], Any]:
    """Args: task: ``search``, ``retrain`` or ``sample``."""
    return {"search": side.search, "retrain": side.retrain, "sample": side.sample}[task]


@contextmanager
def strict_float32(device: torch.device) -> Iterator[None]:
    """No TF32 inside: on a GPU, fp32 is fp32. What was set before is set again."""
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
