"""Search by reinforcement (AutoGAN, Gong et al., ICCV 2019): a controller learns which architectures score well.

Weights are shared: every step trains one architecture that the controller samples. In phases, spread evenly over the
search, the controller takes steps of REINFORCE against a moving-average baseline. With several levels the generator
grows: a level ends by keeping the best architectures, from which the controller of the next level goes on.

G alone is searched, as published. Where D has decisions its architectures are sampled uniformly, and those of the
trial's genotype are random choices: take a space with a fixed D, or retrain with the fixed D.

The logits of G hold the logarithms of the controller's marginal probabilities; so tables, entropies and the mixture
mean what they mean under the other methods. The present genotype is the best of those that were sampled and scored at
the end of the latest phase.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from autogan_ray.config.search_length import phases_of, steps_g
from autogan_ray.metrics.evaluation import Evaluator
from autogan_ray.nets.gan import Generator
from autogan_ray.nets.relaxation import MOST_REDRAWS, one_hot
from autogan_ray.search.dynamic_reset import PlateauDetector
from autogan_ray.search.methods.base import ArchitectureUpdate, SearchContext, SearchStep
from autogan_ray.search.methods.reinforce_parts.controller import BEGINNING, Controller, Sample, Start
from autogan_ray.search.methods.reinforce_parts.levels import Level, coarse, plan_levels
from autogan_ray.search.methods.reinforce_parts.reward import Reward
from autogan_ray.search.methods.single_path import Path, SinglePath, connected
from autogan_ray.training.streams import stream, stream_seed

ENTROPY_WEIGHT = 1e-3
"""Weight of the entropy in the reward, as published."""
BASELINE_DECAY = 0.9
"""Decay of the moving average of rewards that a reward is compared with, as published."""
MARGINAL_SAMPLES = 256
"""Sequences over which the controller's marginal probabilities are averaged."""


class Reinforce(SinglePath):
    """Single paths that a controller samples and learns from."""

    def __init__(self, context: SearchContext) -> None:
        super().__init__(context)
        net, trial = context.net, context.trial
        self._trial = trial
        self._updates = steps_g(trial.search, context.total_steps)
        self._phases = phases_of(trial.search, self._updates)
        size = net.shape.image_size
        self._levels = plan_levels(net.space, size, trial.search.levels, self._phases)
        self._plateau = PlateauDetector(trial.search.reset_window, trial.search.reset_variance)
        self._updated = self._phase = 0
        self._phase_over = False
        random = net.space.random(size, trial.seed)
        net.arch_d.settled = dict(random.discriminator)
        # Cells without a controller yet: the present genotype must be connected there too.
        self._later: Path = dict(random.generator)
        self._enter(0, (BEGINNING,))
        self._update_logits()

    def _enter(self, number: int, beam: tuple[Start, ...]) -> None:
        """Begins a level, with a new controller (as published) behind the architectures kept from the level before."""
        self._number, self._beam = number, beam
        level, optim = self._level, self._trial.optim
        self._controller = Controller(level.decisions, stream_seed(self._trial.seed, "controller", number))
        self._adam = torch.optim.Adam(self._controller.parameters(), optim.lr_controller, optim.betas)
        averaged = self.context.ema.network
        assert isinstance(averaged, Generator)
        averaged.running = self.net.generator.running = level.cells
        self._reward: Reward | None = None
        self._grown: tuple[Start, ...] | None = None

    @property
    def _level(self) -> Level:
        return self._levels[self._number]

    # --- steps on weights -------------------------------------------------------------------------------------------

    def path_g(self, step: SearchStep) -> Path:
        with torch.no_grad():
            return self._later | self._sample(step.rng).paths[0]

    def as_seen_by_d(self, real: Tensor) -> Tensor:
        return coarse(real, self._level.side)

    def end_step(self, loss_d: Tensor, loss_g: Tensor | None) -> bool:
        self._plateau.add("d", loss_d)
        if loss_g is not None:
            self._plateau.add("g", loss_g)
        if self._grown is not None:
            self._enter(self._number + 1, self._grown)
            self._update_logits()
        # Published: weights whose training stalled serve one more phase, then they start anew.
        anew = self._phase_over and self._plateau.reached
        if anew:
            self._plateau.clear()
        self._phase_over = False
        return anew

    def _sample(self, rng: torch.Generator) -> Sample:
        """Samples a connected architecture, so that only networks are trained that could be derived."""
        for _ in range(MOST_REDRAWS):
            sample = self._controller.sample(self._starts(1, rng), rng)
            if connected(self.net, sample.paths[0]):
                break
        return sample

    def _starts(self, count: int, rng: torch.Generator) -> list[Start]:
        return [self._beam[index] for index in torch.randint(len(self._beam), (count,), generator=rng).tolist()]

    # --- phases -----------------------------------------------------------------------------------------------------

    def update_g(self, step: SearchStep, real: Tensor, z: Tensor) -> ArchitectureUpdate | None:
        """Runs a phase of the controller where a phase is due; the update's loss is minus the mean reward."""
        self._updated += 1
        if self._updated < round(self._updates * (self._phase + 1) / self._phases) or self._phase == self._phases:
            return None
        self._phase += 1
        self._reward = self._reward or Reward(self.context, self._level.side)
        evaluator = self._reward.evaluator(stream_seed(self._trial.seed, "reward", step.images_shown) % 2**32)
        rng = stream(self._trial.seed, "phase", step.images_shown)
        update = self._learn(evaluator, rng)
        self._choose(evaluator, rng)
        self._phase_over = True
        return update

    def _learn(self, evaluator: Evaluator, rng: torch.Generator) -> ArchitectureUpdate | None:
        """Takes steps of REINFORCE (Williams 1992), on one architecture each: -log p * (reward - baseline)."""
        baseline: float | None = None
        rewards, norms = [], []
        for _ in range(self._trial.search.controller_steps):
            sample = self._sample(rng)
            reward = self._reward_of(sample.paths[0], evaluator)
            if reward is None:  # not finite: the search has diverged, and the evaluation will say so
                continue
            reward += ENTROPY_WEIGHT * float(sample.entropy.detach())
            baseline = reward if baseline is None else BASELINE_DECAY * baseline + (1 - BASELINE_DECAY) * reward
            self._adam.zero_grad()
            (-sample.log_probability * (reward - baseline)).sum().backward()
            grads = [p.grad for p in self._controller.parameters() if p.grad is not None]
            norms.append(torch.linalg.vector_norm(torch.stack([grad.norm() for grad in grads])))
            self._adam.step()
            rewards.append(reward)
        self._update_logits()
        if not rewards:
            return None
        return ArchitectureUpdate(torch.tensor(-sum(rewards) / len(rewards)), torch.stack(norms).mean())

    def _reward_of(self, path: Path, evaluator: Evaluator) -> float | None:
        assert self._reward is not None
        return self._reward.of(one_hot(self._later | path, self.net.arch_g.decisions), evaluator)

    def _choose(self, evaluator: Evaluator, rng: torch.Generator) -> None:
        """Samples and scores; the best becomes the present genotype, and the best few lead to the next level."""
        search = self._trial.search
        with torch.no_grad():
            samples = [self._sample(rng) for _ in range(search.controller_samples)]
        rewards = [(self._reward_of(sample.paths[0], evaluator), sample) for sample in samples]
        able = [(reward, s) for reward, s in rewards if reward is not None and connected(self.net, s.paths[0])]
        best = sorted(able, key=lambda pair: -pair[0])
        if best:
            self.net.arch_g.settled = self._later | best[0][1].paths[0]
        if self._phase == self._level.last_phase and self._number + 1 < len(self._levels):
            kept = [sample for _, sample in best] or samples
            self._grown = tuple(sample.start(0) for sample in kept[: search.beam])  # at the end of this step

    @torch.no_grad()
    def _update_logits(self) -> None:
        """Sets G's logits to log p, p averaged over sampled sequences; to 0 in cells that do not run yet."""
        rng = stream(self._trial.seed, "marginals", self._phase)
        sample = self._controller.sample(self._starts(MARGINAL_SAMPLES, rng), rng)
        earlier: dict[str, Tensor] = {}
        for level in self._levels[: self._number]:
            for decision in level.decisions:
                kept = [start.path[decision.name] for start in self._beam]
                earlier[decision.name] = torch.tensor([kept.count(c) / len(kept) for c in decision.choices])
        marginal = earlier | {name: rows.mean(0) for name, rows in sample.probabilities.items()}
        logits = self.net.arch_g
        state = {
            d.name: marginal[d.name].clamp_min(1e-6).log() if d.name in marginal else torch.zeros(len(d.choices))
            for d in logits.decisions
        }
        logits.load_state_dict(state)

    # --- state ------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            "counters": {"updated": self._updated, "phase": self._phase, "number": self._number},
            "beam": [{"path": start.path, "h": start.h, "c": start.c} for start in self._beam],
            "controller": self._controller.state_dict(),
            "adam": self._adam.state_dict(),
            "settled": dict(self.net.arch_g.settled),
            "rest": self._plateau.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        counters = state["counters"]
        self._updated, self._phase = counters["updated"], counters["phase"]
        self._enter(counters["number"], tuple(Start(**start) for start in state["beam"]))
        self._controller.load_state_dict(state["controller"])
        self._adam.load_state_dict(state["adam"])
        self.net.arch_g.settled = state["settled"]
        self._plateau.load_state_dict(state["rest"], self.net.arch_g.logits.device)


METHOD = Reinforce
