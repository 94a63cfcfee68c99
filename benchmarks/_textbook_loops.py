"""What a search, a retraining and a sampling pass do with the textbook networks, step by step as written in papers.

Fakes for D are built with the graph and detached afterwards, as the published codes do; Adam goes through its
parameters one by one (neither fused nor foreach), and so does the average of the weights. In two things the textbook
already saves what published codes waste, so that the comparison is no easier than it should be: weights that are not
updated are frozen, and real and fake images pass D together.

Batches, latents and noise come from the streams of the product in their order, so that both sides see the same numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from _textbook_ops import Weights
from textbook import Discriminator, Generator
from torch import Tensor, nn
from torch.optim import Adam

from autogan_ray.config.sections import OptimConfig, RetrainConfig
from autogan_ray.config.study import TrialConfig
from autogan_ray.nets.gan import Shape
from autogan_ray.spaces.connectivity import dead_ends
from autogan_ray.spaces.space import Decision, SearchSpace
from autogan_ray.training.data import ImageData, split_halves
from autogan_ray.training.streams import BatchStream, stream, stream_seed

ENOUGH_DRAWS = 51


class Logits:
    """The logits of one network's decisions, and their relaxations.

    The published form: one softmax over a matrix of logits, Gumbel noise added to log-probabilities. ``gumbel_hard``
    gives the drawn choice the weight 1 - s.detach() + s and all others 0, and all of them are computed.
    """

    def __init__(
        self, space: SearchSpace, decisions: tuple[Decision, ...], image_size: int, device: torch.device
    ) -> None:
        self.space, self.decisions, self.image_size = space, decisions, image_size
        width = max((len(decision.choices) for decision in decisions), default=1)
        self.mask = torch.zeros(len(decisions), width, dtype=torch.bool)
        for row, decision in enumerate(decisions):
            self.mask[row, : len(decision.choices)] = True
        self.mask = self.mask.to(device)
        self.logits = nn.Parameter(torch.zeros(len(decisions), width, device=device))

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Args: state: decision -> logits."""
        for row, decision in enumerate(self.decisions):
            self.logits[row, : len(decision.choices)] = state[decision.name]

    def select(self, relaxation: str, temperature: float, rng: torch.Generator) -> Weights:
        if not self.decisions:
            return {}
        log_p = torch.log_softmax(self.logits.masked_fill(~self.mask, -torch.inf), dim=1)
        if relaxation == "softmax":
            return self._named(log_p.exp())
        for _ in range(ENOUGH_DRAWS):
            noise = -torch.log(-torch.log(torch.rand(self.logits.shape, generator=rng).clamp_(min=1e-20)))
            soft = torch.softmax((log_p + noise.to(self.logits.device)) / temperature, dim=1)
            if relaxation == "gumbel" or self._connected(soft):
                break
        if relaxation == "gumbel":
            return self._named(soft)
        hard = torch.zeros_like(soft).scatter_(1, soft.argmax(dim=1, keepdim=True), 1.0)
        scale = (soft * hard).sum(dim=1, keepdim=True)
        return self._named(hard * (1 - scale.detach() + scale))

    def draw(self, relaxation: str, temperature: float, rng: torch.Generator) -> Weights:
        """Without gradient."""
        with torch.no_grad():
            return self.select(relaxation, temperature, rng)

    def _connected(self, soft: Tensor) -> bool:
        best = soft.argmax(dim=1).tolist()
        choices = {d.name: d.choices[index] for d, index in zip(self.decisions, best, strict=True)}
        return not dead_ends(self.space, choices, self.image_size)

    def _named(self, rows: Tensor) -> Weights:
        return {d.name: row[: len(d.choices)] for d, row in zip(self.decisions, rows.unbind(), strict=True)}


@contextmanager
def _frozen(*networks: nn.Module) -> Iterator[None]:
    for network in networks:
        network.requires_grad_(False)
    yield
    for network in networks:
        network.requires_grad_(True)


def _adam(parameters: list[nn.Parameter], lr: float, betas: tuple[float, float], decay: float = 0.0) -> Adam:
    return Adam(parameters, lr=lr, betas=betas, weight_decay=decay, foreach=False, fused=False)


def _descend(loss: Tensor, optimiser: Adam) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def _hinge_d(scores: Tensor, real: int) -> Tensor:
    return torch.relu(1 - scores[:real]).mean() + torch.relu(1 + scores[real:]).mean()


def _images(data: ImageData, indices: np.ndarray, device: torch.device) -> Tensor:
    return (torch.from_numpy(data.images[indices]).float() / 127.5 - 1.0).to(device)


class _Pair:
    """Both networks, their optimisers and the average of G: what a search and a retraining have in common."""

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        config: OptimConfig | RetrainConfig,
        decay: float,
        device: torch.device,
    ) -> None:
        self.generator, self.discriminator = generator.to(device), discriminator.to(device)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.decay, self.device, self.step_d = decay, device, 0
        self.adam_g = _adam([*self.generator.parameters()], config.lr_g, config.betas)
        self.adam_d = _adam([*self.discriminator.parameters()], config.lr_d, config.betas)

    def load(self, generator: Mapping[str, Tensor], discriminator: Mapping[str, Tensor]) -> None:
        """The product's weights, under the same names."""
        self.generator.load_state_dict(generator)
        self.average.load_state_dict(generator)
        self.discriminator.load_state_dict(discriminator)

    @torch.no_grad()
    def update_average(self) -> None:
        for averaged, live in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            averaged.mul_(self.decay).add_(live, alpha=1 - self.decay)

    def latents(self, count: int, length: int, rng: torch.Generator) -> Tensor:
        return torch.randn(count, length, generator=rng).to(self.device)


class TextbookSearch(_Pair):
    """The alternation of AdversarialNAS (Gao et al., CVPR 2020, algorithm 1)."""

    def __init__(
        self, trial: TrialConfig, space: SearchSpace, shape: Shape, data: ImageData, device: torch.device
    ) -> None:
        optim, batch = trial.optim, trial.search.batch_size
        super().__init__(Generator(space, shape), Discriminator(space, shape), optim, optim.ema, device)
        self.trial, self.shape, self.data = trial, shape, data
        self.logits_g = Logits(space, space.decisions_g(shape.image_size), shape.image_size, device)
        self.logits_d = Logits(space, space.decisions_d(shape.image_size), shape.image_size, device)
        decay = optim.weight_decay_arch
        self.adam_arch_g = _adam([self.logits_g.logits], optim.lr_arch_g, optim.betas_arch, decay)
        self.adam_arch_d = _adam([self.logits_d.logits], optim.lr_arch_d, optim.betas_arch, decay)
        weights, held_out = split_halves(len(data), stream_seed(trial.seed, "halves") % 2**32)
        self.for_weights = BatchStream(weights, batch, stream_seed(trial.seed, "weight batches"))
        self.for_logits = BatchStream(held_out, batch, stream_seed(trial.seed, "architecture batches"))

    def step(self) -> None:
        """One step of D (logits, weights) and, every n-th time, of G (logits, weights)."""
        search, shown = self.trial.search, self.step_d * self.trial.search.batch_size
        drawing = (str(search.relaxation), search.temperature_start, stream(self.trial.seed, "step", shown))
        g, d = self.logits_g, self.logits_d

        real = _images(self.data, self.for_logits.indices_at(shown), self.device)
        z = self._z(drawing[2])
        if d.decisions and search.search_d:
            fake = self.generator(z, g.draw(*drawing)).detach()
            with _frozen(self.discriminator):
                scores = self.discriminator(torch.cat([real, fake]), d.select(*drawing))
                _descend(_hinge_d(scores, len(real)), self.adam_arch_d)

        real = _images(self.data, self.for_weights.indices_at(shown), self.device)
        z = self._z(drawing[2])
        fake = self.generator(z, g.draw(*drawing)).detach()
        scores = self.discriminator(torch.cat([real, fake]), d.draw(*drawing))
        _descend(_hinge_d(scores, len(real)), self.adam_d)

        self.step_d += 1
        if self.step_d % search.d_steps_per_g_step == 0:
            self._step_g(drawing)

    def _step_g(self, drawing: tuple[str, float, torch.Generator]) -> None:
        z = self._z(drawing[2])
        if self.logits_g.decisions:
            chosen_d, chosen_g = self.logits_d.draw(*drawing), self.logits_g.select(*drawing)
            with _frozen(self.discriminator, self.generator):
                _descend(-self.discriminator(self.generator(z, chosen_g), chosen_d).mean(), self.adam_arch_g)
        chosen_d, chosen_g = self.logits_d.draw(*drawing), self.logits_g.draw(*drawing)
        z = self._z(drawing[2])
        with _frozen(self.discriminator):
            _descend(-self.discriminator(self.generator(z, chosen_g), chosen_d).mean(), self.adam_g)
        self.update_average()

    def _z(self, rng: torch.Generator) -> Tensor:
        return self.latents(self.trial.search.batch_size, self.shape.latent_dim, rng)


class TextbookRetraining(_Pair):
    """Training of a derived network from scratch."""

    def __init__(
        self,
        networks: tuple[Generator, Discriminator],
        config: RetrainConfig,
        latent_dim: int,
        data: ImageData,
        seed: int,
        device: torch.device,
    ) -> None:
        super().__init__(*networks, config, config.ema, device)
        self.config, self.latent_dim, self.data, self.seed = config, latent_dim, data, seed
        self.batches = BatchStream(np.arange(len(data)), config.batch_size, stream_seed(seed, "batches"))

    def step(self) -> None:
        config, shown = self.config, self.step_d * self.config.batch_size
        rng = stream(self.seed, "step", shown)
        real = _images(self.data, self.batches.indices_at(shown), self.device)
        fake = self.generator(self.latents(config.batch_size, self.latent_dim, rng), {}).detach()
        _descend(_hinge_d(self.discriminator(torch.cat([real, fake]), {}), len(real)), self.adam_d)
        self.step_d += 1
        if self.step_d % config.d_steps_per_g_step == 0:
            z = self.latents(config.batch_size_g or config.batch_size, self.latent_dim, rng)
            with _frozen(self.discriminator):
                _descend(-self.discriminator(self.generator(z, {}), {}).mean(), self.adam_g)
            self.update_average()


@torch.no_grad()
def textbook_sampling(network: Generator, z: Tensor, batch: int, device: torch.device) -> Tensor:
    """uint8 [N, C, H, W] on the CPU, from z [N, latent_dim], in batches."""
    images = [network(part.to(device), {}).mul(127.5).add(127.5).round().clamp(0, 255) for part in z.split(batch)]
    return torch.cat([part.to(torch.uint8).cpu() for part in images])
