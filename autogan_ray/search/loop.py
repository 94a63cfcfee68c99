"""The search loop: plain Python that yields a record at each evaluation and knows nothing of Ray.

The alternation is that of AdversarialNAS: at each step D's architecture, then D's weights; at every n-th step also
G's, then G's weights. What moves an architecture is the method's (``method.py``). Architectures learn from one half of
the data, weights from the other, disjoint one.

Every random number is a function of (seed, images shown), so a search that is saved and loaded goes on as if it had
never stopped, bit for bit on the CPU.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from autogan_ray.config.search_length import total_steps
from autogan_ray.config.study import TrialConfig
from autogan_ray.metrics.evaluation import Evaluator
from autogan_ray.nets.compute import compile_forward
from autogan_ray.nets.cost.limits import rules_of
from autogan_ray.nets.gan import Shape
from autogan_ray.nets.supernet import Supernet
from autogan_ray.nets.upload import uploaded
from autogan_ray.search.choosing import Deriver
from autogan_ray.search.dynamic_reset import start_anew
from autogan_ray.search.methods.base import ArchitectureUpdate, Batches, Moment, Surroundings
from autogan_ray.search.methods.registry import METHODS
from autogan_ray.search.record import Means, SearchRecord
from autogan_ray.search.remedies import Treatment
from autogan_ray.search.schedule import temperature
from autogan_ray.search.scoring import Scorer, supernet_due
from autogan_ray.search.tuning import WeightTuner
from autogan_ray.spaces.space import SearchSpace
from autogan_ray.training.data import BatchStream, ImageData, split_halves
from autogan_ray.training.ema import Ema
from autogan_ray.training.feed import Feed
from autogan_ray.training.memory import peak_memory_mib
from autogan_ray.training.steps import adam, discriminator_step, frozen, generator_step
from autogan_ray.training.streams import layer_noise, stream, stream_seed


def shape_of(trial: TrialConfig, data: ImageData) -> Shape:
    """The fixed parts of a trial's networks, for a data set."""
    model = trial.model
    return Shape(
        data.image_size,
        data.channels,
        model.channels_g,
        model.channels_d,
        model.latent_dim,
        model.norm_g,
        model.head_d,
    )


class SearchLoop:
    """One search. Iterate :meth:`records`; save and load with ``state_dict`` and ``load_state_dict`` between steps.

    Args:
        trial: the resolved configuration.
        space: the search space that ``trial.space`` names.
        data: both halves come from it.
        evaluator: scores generators.
        evaluations: how many evaluations the whole search is divided into.
        rank_by: ``derived`` or ``supernet``, the score that becomes ``fid``.
        supernet_every: the mixture is scored at every n-th evaluation, n this number, and at the last.
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
        self.evaluations, self.device = evaluations, torch.device(device)
        self._feed = Feed(data, self.device)
        self.supernet_every = supernet_every
        search, optim = trial.search, trial.optim
        shape = shape_of(trial, data)
        rules = rules_of(trial.derive, space, shape)
        rng = stream(trial.seed, "initial weights")
        self.net = Supernet.build(space, shape, rng, self.device, trial.compute, rules)
        self.ema = Ema(self.net.generator, optim.ema)
        if trial.compute.compile:
            compile_forward(self.net.generator, self.net.discriminator)
        self.scorer = Scorer(self.net, self.ema, evaluator, rank_by)
        self._adam_g = adam([*self.net.generator.parameters()], optim.lr_g, optim.betas)
        self._adam_d = adam([*self.net.discriminator.parameters()], optim.lr_d, optim.betas)
        weights, held_out = split_halves(len(data), stream_seed(trial.seed, "halves") % 2**32)
        self._weight_stream = BatchStream(weights, search.batch_size, stream_seed(trial.seed, "weight batches"))
        self._arch_stream = BatchStream(held_out, search.batch_size, stream_seed(trial.seed, "architecture batches"))
        tuner = WeightTuner(self.net, self.ema, trial, data, weights, self.device)
        self.deriver = Deriver(self.scorer, trial, evaluations, tuner)
        self.total_steps = total_steps(search, evaluations)
        self.treatment = Treatment(self.net, trial, self.total_steps)
        self._more_stream = BatchStream(held_out, search.batch_size, stream_seed(trial.seed, "further batches"))
        around = Surroundings(self.net, trial, self.ema, data, evaluator, self.total_steps)
        self.method = METHODS[search.method](around)
        self.step_d = self.step_g = self.evaluation = 0
        self._means = Means()
        self._clock = time.perf_counter()
        self._clock_images = 0

    @property
    def images_shown(self) -> int:
        """Real images shown to D in steps on its weights."""
        return self.step_d * self.trial.search.batch_size

    @property
    def warming_up(self) -> bool:
        """Whether the logits are still frozen."""
        return self.step_d < self.trial.search.warmup * self.total_steps

    @property
    def temperature(self) -> float:
        search = self.trial.search
        return temperature(
            search.temperature_schedule,
            search.temperature_start,
            search.temperature_end,
            self.step_d / self.total_steps,
        )

    def records(self) -> Iterator[SearchRecord]:
        """Run to the end, or until something is not finite; one record an evaluation."""
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
        """One step of D (logits, weights) and, every n-th time, of G (logits, weights)."""
        with self.treatment.during(self.step_d):
            if not self.net.generator.stochastic:
                return self._step()
            with layer_noise(stream_seed(self.trial.seed, "layer noise", self.images_shown), self.device):
                self._step()

    def _step(self) -> None:
        search, moment = self.trial.search, self.moment()
        steps_g = (self.step_d + 1) % search.d_steps_per_g_step == 0
        self.method.begin(self.net, moment)
        real = None if self.warming_up else self._gathered(self._arch_stream, self.images_shown)
        if real is not None:
            self._note("d", self.method.update_d(self.net, moment, real, self._latents(moment.rng)))
        loss_d, loss_g = self._step_weights_d(moment), None
        if steps_g:
            if real is not None:
                self._note("g", self.method.update_g(self.net, moment, real, self._latents(moment.rng)))
            loss_g = self._step_weights_g(moment)
            self.step_g += 1
        if self.method.told(loss_d, loss_g):
            assert self._adam_g is not None and self._adam_d is not None
            rng = stream(self.trial.seed, "weights anew", self.images_shown)
            start_anew(self.net, self.ema, [self._adam_g, self._adam_d], rng)
        self.step_d += 1

    def moment(self) -> Moment:
        """The point the search is at, with its random stream at the beginning."""
        shown, inner, batch_size = self.images_shown, self.trial.search.gap_inner_steps, self.trial.search.batch_size
        rng = stream(self.trial.seed, "step", shown)
        batches = Batches(
            training=lambda: self._gathered(self._weight_stream, shown),
            held_out=lambda index: self._gathered(self._more_stream, shown * inner + index * batch_size),
            latents=lambda: self._latents(rng),
        )
        return Moment(self.trial.search, self.temperature, rng, shown, batches)

    def _gathered(self, batches: BatchStream, images_shown: int) -> torch.Tensor:
        return self._feed.batch(batches.indices_at(images_shown))

    def _latents(self, rng: torch.Generator) -> torch.Tensor:
        return uploaded(self.net.generator.latents.draw(self.trial.search.batch_size, rng), self.device)

    def _step_weights_d(self, moment: Moment) -> torch.Tensor:
        net = self.net
        real = self.method.seen(self._gathered(self._weight_stream, self.images_shown))
        with torch.no_grad():
            fake = net.generator(self._latents(moment.rng), self.method.draw(net.arch_g, moment))
        chosen = self.method.draw(net.arch_d, moment)
        assert self._adam_d is not None
        result = discriminator_step(lambda x: net.discriminator(x, chosen), self._adam_d, real, fake)
        self._means.add(loss_d=result.loss, d_real=result.real, d_fake=result.fake)
        return result.loss

    def _step_weights_g(self, moment: Moment) -> torch.Tensor:
        net = self.net
        chosen_d, chosen_g = self.method.draw(net.arch_d, moment), self.method.draw(net.arch_g, moment)
        assert self._adam_g is not None
        with frozen(net.discriminator):
            loss = generator_step(
                lambda x: net.discriminator(x, chosen_d),
                lambda z: net.generator(z, chosen_g),
                self._adam_g,
                self._latents(moment.rng),
            )
        self.ema.update()
        self._means.add(loss_g=loss)
        return loss

    def _note(self, network: str, update: ArchitectureUpdate | None) -> None:
        if update is not None:
            self._means.add(**{f"loss_arch_{network}": update.loss, f"grad_norm_arch_{network}": update.grad_norm})

    def evaluate(self) -> SearchRecord:
        """Score the genotype of the moment and, in its turn, the mixture; training goes on as if nothing had been."""
        spent = time.perf_counter() - self._clock
        speed = (self.images_shown - self._clock_images) / max(spent, 1e-9)
        start = time.perf_counter()
        self.evaluation += 1
        finite = all(
            value is None or math.isfinite(value) for value in map(self._means.mean, ("loss_g", "loss_d", "d_fake"))
        )
        genotype, derived = self.deriver.at(self.evaluation, finite)
        due = supernet_due(self.evaluation, self.evaluations, self.supernet_every)
        supernet = self.scorer.supernet() if finite and due else None
        record = self._record(self.scorer.told(genotype, derived, supernet), speed, start)
        self._means.clear()
        self._clock, self._clock_images = time.perf_counter(), self.images_shown
        return record

    def _record(self, scored: dict[str, Any], speed: float, start: float) -> SearchRecord:
        """What is known by counting beside what was scored."""
        return SearchRecord(
            evaluation=self.evaluation,
            kimg=self.images_shown / 1000,
            step_g=self.step_g,
            temperature=self.temperature,
            **self._means.told(),
            **scored,
            images_per_s=speed,
            eval_s=time.perf_counter() - start,
            peak_mem_mib=peak_memory_mib(self.device),
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything with state, between two steps; tensors and plain values only."""
        assert self._adam_g is not None and self._adam_d is not None
        return {
            "generator": self.net.generator.state_dict(),
            "discriminator": self.net.discriminator.state_dict(),
            "ema": self.ema.state_dict(),
            "logits_g": self.net.arch_g.state_dict(),
            "logits_d": self.net.arch_d.state_dict(),
            "adam_g": self._adam_g.state_dict(),
            "adam_d": self._adam_d.state_dict(),
            "method": self.method.state_dict(),
            "counters": {"step_d": self.step_d, "step_g": self.step_g, "evaluation": self.evaluation},
            "means": self._means.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        assert self._adam_g is not None and self._adam_d is not None
        self.net.generator.load_state_dict(state["generator"])
        self.net.discriminator.load_state_dict(state["discriminator"])
        self.ema.load_state_dict(state["ema"])
        self.net.arch_g.load_state_dict(state["logits_g"])
        self.net.arch_d.load_state_dict(state["logits_d"])
        self._adam_g.load_state_dict(state["adam_g"])
        self._adam_d.load_state_dict(state["adam_d"])
        self.method.load_state_dict(state["method"])
        for name, value in state["counters"].items():
            setattr(self, name, value)
        self._means.load_state_dict(state["means"])
