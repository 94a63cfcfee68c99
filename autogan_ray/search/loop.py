"""The search loop: plain Python that yields a record at each evaluation and knows nothing of Ray.

The alternation is that of AdversarialNAS (Gao et al., CVPR 2020, algorithm 1): at each step D's architecture, then D's
weights; at every n-th step also G's architecture, then G's weights. How an architecture moves is the method's business
(``methods/``). Architectures learn from other images than weights (``halves.py``).

Every random number is a function of (seed, images shown), so a search that is saved and loaded goes on as if it had
never stopped, bit for bit on the CPU.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autogan_ray.base.json_lines import finite
from autogan_ray.config.search_length import total_steps
from autogan_ray.config.study import TrialConfig
from autogan_ray.metrics.diverged import divergence
from autogan_ray.metrics.evaluation import Evaluator, Score
from autogan_ray.nets.compute import compile_forward
from autogan_ray.nets.cost.limits import rules_of
from autogan_ray.nets.shape import Shape
from autogan_ray.nets.supernet import Supernet
from autogan_ray.nets.upload import uploaded
from autogan_ray.search.choosing import GenotypeChooser
from autogan_ray.search.dynamic_reset import start_anew
from autogan_ray.search.halves import Halves
from autogan_ray.search.methods.base import ArchitectureUpdate, SearchContext, SearchStep
from autogan_ray.search.methods.registry import method_named
from autogan_ray.search.record import MEANS, SearchRecord
from autogan_ray.search.remedies import Remedies
from autogan_ray.search.scoring import Scorer, supernet_due
from autogan_ray.search.tuning import WeightTuner
from autogan_ray.spaces.space import SearchSpace
from autogan_ray.training.data import ImageData
from autogan_ray.training.game import Game
from autogan_ray.training.memory import peak_memory_mib
from autogan_ray.training.schedules import rates_at, scheduled, set_rates
from autogan_ray.training.steps import Ema, RunningMeans, adam, discriminator_step, generator_step, with_selection
from autogan_ray.training.streams import Feed, layer_noise, stream, stream_seed


class SearchLoop:
    """One search. Iterate :meth:`records`; save and load with ``state_dict`` and ``load_state_dict`` between steps.

    Args:
        trial: the resolved configuration.
        space: the search space that ``trial.space`` names.
        data: weights and architectures learn from it.
        evaluator: scores generators.
        evaluations: how many evaluations the whole search is divided into.
        rank_by: ``derived`` or ``supernet``, the score that becomes ``fid``.
        supernet_every: the mixture is scored at every n-th evaluation, n this number, and at the last.
        device: on which to search.
    """

    def __init__(
        self,
        trial: TrialConfig,
        space: SearchSpace,
        data: ImageData,
        evaluator: Evaluator,
        *,
        evaluations: int,
        rank_by: str = "derived",
        supernet_every: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        self.trial, self.space, self.data = trial, space, data
        self.evaluations, self.supernet_every, self.device = evaluations, supernet_every, torch.device(device)
        search, optim, seed = trial.search, trial.optim, trial.seed
        self.total_steps, self._relaxation = total_steps(search, evaluations), search.relaxation_in_force

        shape = Shape.of(trial.model, data.image_size, data.channels, search.spectral_norm_in_force)
        rules = rules_of(trial.derive, space, shape)
        rng = stream(seed, "initial weights")
        self.net = Supernet.build(space, shape, rng, self.device, trial.compute, rules)
        self.ema = Ema(
            self.net.generator, optim.decay(search.batch_size * search.d_steps_per_g_step), optim.ema_unbiased
        )
        if trial.compute.compile:
            compile_forward(self.net.generator, self.net.discriminator)
        clip = optim.clip_grad_norm
        self._adam_g = adam([*self.net.generator.parameters()], optim.lr_g, optim.betas, clip_grad_norm=clip)
        self._adam_d = adam([*self.net.discriminator.parameters()], optim.lr_d, optim.betas, clip_grad_norm=clip)

        self._feed, self._halves = Feed(data, self.device), Halves(data, search, seed)
        self._game, self._batch_size_g = Game(search, self.total_steps), search.latents_g

        self.remedies = Remedies(self.net, trial, self.total_steps) if trial.remedies.on else None
        context = SearchContext(self.net, trial, self.ema, data, evaluator, self.total_steps)
        self.method = method_named(search.method)(context)
        self.scorer = Scorer(self.net, self.ema, evaluator, rank_by)
        for_weights = self._halves.for_weights
        tuner = WeightTuner(self.net, self.ema, trial, self._feed, for_weights, self.device)
        self.chooser = GenotypeChooser(self.scorer, trial, evaluations, tuner)

        self.step_d = self.step_g = self.evaluation = 0
        self.shown: Tensor | None = None
        """Images [N, C, H, W], uint8, of the genotype that the last evaluation derived; None where it scored none."""
        self._means = RunningMeans()
        self._clock, self._clock_images = time.perf_counter(), 0

    @property
    def images_shown(self) -> int:
        """Real images shown to D in steps on its weights."""
        return self.step_d * self.trial.search.batch_size

    @property
    def warming_up(self) -> bool:
        """Whether the logits are still frozen."""
        return self.step_d < self.trial.search.warmup * self.total_steps

    def records(self) -> Iterator[SearchRecord]:
        """Runs to the end, or until something is not finite; yields a record at each evaluation."""
        self._clock, self._clock_images = time.perf_counter(), self.images_shown
        while self.evaluation < self.evaluations:
            until = round(self.total_steps * (self.evaluation + 1) / self.evaluations)
            while self.step_d < until:
                self.step()
            record = self.evaluate()
            yield record
            if record.diverged:
                return

    def step(self) -> None:
        """Makes one step of the search, with the trial's remedies and the layers' own noise around it."""
        noise = stream_seed(self.trial.seed, "layer noise", self.images_shown)
        with (
            self.remedies.during(self.step_d) if self.remedies else nullcontext(),
            layer_noise(noise, self.device) if self.net.generator.stochastic else nullcontext(),
        ):
            self._alternate()

    def _alternate(self) -> None:
        """One pass through the loop of algorithm 1."""
        net, method, step, loss_g = self.net, self.method, self.current_step(), None
        set_rates(self.trial.optim, self._adam_g, self._adam_d, self.step_d / self.total_steps)
        method.begin_step(step)
        held_out = None
        if not self.warming_up:
            held_out = self._game.shown(self._feed.batch(self._halves.held_out(self.images_shown)), step.rng)

        # D's architecture, on held-out images.
        if held_out is not None:
            self._note("d", method.update_d(step, held_out, step.latents()))

        # D's weights.
        real, z = method.as_seen_by_d(step.training_images()), step.latents()
        generator = with_selection(net.generator, method.draw_g(step))
        discriminator = with_selection(net.discriminator, method.draw_d(step))
        loss_d = discriminator_step(generator, discriminator, self._adam_d, real, z, step.losses)
        self._means.add(loss_d=loss_d.loss, d_real=loss_d.real, d_fake=loss_d.fake)

        if (self.step_d + 1) % self.trial.search.d_steps_per_g_step == 0:
            # G's architecture, on held-out images.
            if held_out is not None:
                self._note("g", method.update_g(step, held_out, step.latents_g()))

            # G's weights.
            discriminator = with_selection(net.discriminator, method.draw_d(step))
            generator = with_selection(net.generator, method.draw_g(step))
            z, on_real = step.latents_g(), step.losses.scores_of_real(discriminator, real)
            constant = [net.discriminator]
            loss_g = generator_step(generator, discriminator, self._adam_g, z, constant, step.losses, on_real)
            self.ema.update()
            self._means.add(loss_g=loss_g)
            self.step_g += 1

        if method.end_step(loss_d.loss, loss_g):
            rng = stream(self.trial.seed, "weights anew", self.images_shown)
            start_anew(net, self.ema, [self._adam_g, self._adam_d], rng)
        self.step_d += 1

    def current_step(self) -> SearchStep:
        """Returns the step that the search has come to, with its random stream at the beginning."""
        shown, search = self.images_shown, self.trial.search
        rng = stream(self.trial.seed, "step", shown)

        def latents(count: int) -> Tensor:
            return uploaded(self.net.generator.latents.draw(count, rng), self.device)

        def images(indices: np.ndarray) -> Tensor:
            return self._game.shown(self._feed.batch(indices), rng)

        return SearchStep(
            search,
            self._relaxation,
            self.temperature,
            rng,
            shown,
            self._game.losses(self.step_d, rng),
            rates_at(self.trial.optim, self.step_d / self.total_steps),
            training_images=lambda: images(self._halves.training(shown)),
            held_out_images=lambda index: images(self._halves.further(shown, index)),
            latents=lambda: latents(search.batch_size),
            latents_g=lambda: latents(self._batch_size_g),
        )

    @property
    def temperature(self) -> float:
        """Temperature of the Gumbel relaxations at this step."""
        search, progress = self.trial.search, self.step_d / self.total_steps
        return scheduled(search.temperature_schedule, search.temperature_start, search.temperature_end, progress)

    def _note(self, network: str, update: ArchitectureUpdate | None) -> None:
        if update is not None:
            self._means.add(**{f"loss_arch_{network}": update.loss, f"grad_norm_arch_{network}": update.grad_norm})

    def untrained(self) -> Score:
        """Scores the genotype that the logits name now, as before the first step; the search goes on all the same."""
        return self.scorer.derived(self.net.genotype())

    def evaluate(self) -> SearchRecord:
        """Scores the present genotype and, in its turn, the mixture; training goes on as if nothing had happened."""
        now = time.perf_counter()
        speed = (self.images_shown - self._clock_images) / max(now - self._clock, 1e-9)
        self.evaluation += 1
        fault = self._divergence()
        sound = fault is None
        genotype, derived = self.chooser.choose(self.evaluation, sound)
        self.shown = derived.images if derived else None
        due = supernet_due(self.evaluation, self.evaluations, self.supernet_every)
        supernet = self.scorer.supernet() if sound and due else None
        means: dict[str, Any] = {name: finite(self._means.mean(name)) for name in MEANS}
        record = SearchRecord(
            evaluation=self.evaluation,
            kimg=self.images_shown / 1000,
            step_g=self.step_g,
            temperature=self.temperature,
            **means,
            **self.scorer.fields(genotype, derived, supernet, fault),
            images_per_s=speed,
            eval_s=time.perf_counter() - now,
            peak_mem_mib=peak_memory_mib(self.device),
        )
        self._means = RunningMeans()
        self._clock, self._clock_images = time.perf_counter(), self.images_shown
        return record

    def _divergence(self) -> str | None:
        """What of the search is not finite; None where it may be scored."""
        net, losses = self.net, {name: self._means.mean(name) for name in MEANS if "grad_norm" not in name}
        return divergence(
            losses,
            {
                "logits": [net.arch_g.logits, net.arch_d.logits],
                "weights of G": net.generator.parameters(),
                "weights of D": net.discriminator.parameters(),
                "averaged weights of G": self.ema.network.parameters(),
            },
        )

    def state_dict(self) -> dict[str, Any]:
        """Returns everything with state, between two steps; tensors and plain values only."""
        return {name: part.state_dict() for name, part in self._stateful().items()} | {
            "counters": {"step_d": self.step_d, "step_g": self.step_g, "evaluation": self.evaluation}
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, part in self._stateful().items():
            part.load_state_dict(state[name])
        for name, value in state["counters"].items():
            setattr(self, name, value)

    def _stateful(self) -> dict[str, Any]:
        return {
            "generator": self.net.generator,
            "discriminator": self.net.discriminator,
            "ema": self.ema,
            "logits_g": self.net.arch_g,
            "logits_d": self.net.arch_d,
            "adam_g": self._adam_g,
            "adam_d": self._adam_d,
            "method": self.method,
            "means": self._means,
        }
