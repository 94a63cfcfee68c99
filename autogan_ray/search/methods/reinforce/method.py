"""Search by reinforcement (AutoGAN, Gong et al., ICCV 2019): a controller learns which architectures score well.

Weights are shared: every step trains one architecture that the controller draws. In phases, spread evenly over the
search, the controller takes steps of REINFORCE against a moving-average baseline. With several levels the generator
grows: a level ends by keeping the best architectures, from which the next one's controller goes on.

G alone is searched, as published. Where D has decisions its paths are drawn uniformly, and those of the trial's
genotype are the trial's random ones: take a space with a fixed D, or retrain with the fixed one.

The logits of G hold the logarithms of the controller's marginal probabilities; so tables, entropies and the mixture
mean what they mean under the other methods. The genotype of the moment is the best of those that were drawn and scored
at the end of the latest phase.
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
from autogan_ray.nets.supernet import Supernet
from autogan_ray.search.dynamic_reset import RestDetector
from autogan_ray.search.methods.base import ArchitectureUpdate, Moment, Surroundings
from autogan_ray.search.methods.reinforce.controller import NOWHERE, Controller, Sample, Start
from autogan_ray.search.methods.reinforce.levels import Level, coarse, plan_levels
from autogan_ray.search.methods.reinforce.reward import Reward
from autogan_ray.search.methods.single_path import Path, SinglePath
from autogan_ray.training.streams import stream, stream_seed

ENTROPY_WEIGHT = 1e-3
"""Of the entropy in the reward, as published."""
BASELINE_DECAY = 0.9
"""Of the moving average of rewards that a reward is compared with, as published."""
MARGINAL_SAMPLES = 256


class Reinforce(SinglePath):
    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        net, trial = around.net, around.trial
        self._around, self._net, self._trial = around, net, trial
        self._updates = steps_g(trial.search, around.total_steps)
        self._phases = phases_of(trial.search, self._updates)
        size = net.shape.image_size
        self._levels = plan_levels(net.space, size, trial.search.levels, self._phases)
        self._rest = RestDetector(trial.search.reset_window, trial.search.reset_variance)
        self._updated = self._phase = 0
        self._phase_over = False
        random = net.space.random(size, trial.seed)
        net.arch_d.settled = dict(random.discriminator)
        # Cells without a controller yet: something connected must stand there for the genotype of the moment.
        self._later: Path = dict(random.generator)
        self._enter(0, (NOWHERE,))
        self._tell_marginals()

    def _enter(self, number: int, beam: tuple[Start, ...]) -> None:
        """Begin a level, with a new controller (as published) behind the architectures kept from the one before."""
        self._number, self._beam = number, beam
        level, optim = self._level, self._trial.optim
        self._controller = Controller(level.decisions, stream_seed(self._trial.seed, "controller", number))
        self._adam = torch.optim.Adam(self._controller.parameters(), optim.lr_controller, optim.betas)
        averaged = self._around.ema.network
        assert isinstance(averaged, Generator)
        averaged.running = self._net.generator.running = level.cells
        self._reward: Reward | None = None
        self._grown: tuple[Start, ...] | None = None

    @property
    def _level(self) -> Level:
        return self._levels[self._number]

    # --- steps on weights -------------------------------------------------------------------------------------------

    def path_g(self, net: Supernet, moment: Moment) -> Path:
        with torch.no_grad():
            return self._later | self._draw(moment.rng).paths[0]

    def seen(self, real: Tensor) -> Tensor:
        return coarse(real, self._level.side)

    def told(self, loss_d: Tensor, loss_g: Tensor | None) -> bool:
        self._rest.add("d", loss_d)
        if loss_g is not None:
            self._rest.add("g", loss_g)
        if self._grown is not None:
            self._enter(self._number + 1, self._grown)
            self._tell_marginals()
        # Published: weights that came to rest serve one more phase, then they start anew.
        anew = self._phase_over and self._rest.at_rest
        if anew:
            self._rest.clear()
        self._phase_over = False
        return anew

    def _draw(self, rng: torch.Generator) -> Sample:
        """One architecture. What is not connected is drawn again: only networks are trained that could be derived."""
        for _ in range(MOST_REDRAWS):
            sample = self._controller.sample(self._starts(1, rng), rng)
            if self._connected(sample.paths[0]):
                break
        return sample

    def _starts(self, count: int, rng: torch.Generator) -> list[Start]:
        return [self._beam[index] for index in torch.randint(len(self._beam), (count,), generator=rng).tolist()]

    # --- phases -----------------------------------------------------------------------------------------------------

    def update_g(self, net: Supernet, moment: Moment, real: Tensor, z: Tensor) -> ArchitectureUpdate | None:
        """A phase of the controller, where one is due; the loss told is minus the mean reward."""
        self._updated += 1
        if self._updated < round(self._updates * (self._phase + 1) / self._phases) or self._phase == self._phases:
            return None
        self._phase += 1
        self._reward = self._reward or Reward(self._around, self._level.side)
        judge = self._reward.at(stream_seed(self._trial.seed, "reward", moment.images_shown) % 2**32)
        rng = stream(self._trial.seed, "phase", moment.images_shown)
        update = self._learn(judge, rng)
        self._settle(judge, rng)
        self._phase_over = True
        return update

    def _learn(self, judge: Evaluator, rng: torch.Generator) -> ArchitectureUpdate | None:
        """Steps of REINFORCE (Williams 1992), one architecture each: -(log-probability) * (reward - baseline)."""
        baseline: float | None = None
        rewards, norms = [], []
        for _ in range(self._trial.search.controller_steps):
            sample = self._draw(rng)
            gained = self._gain(sample.paths[0], judge)
            if gained is None:  # not finite: the search has diverged, and the evaluation will say so
                continue
            gained += ENTROPY_WEIGHT * float(sample.entropy.detach())
            baseline = gained if baseline is None else BASELINE_DECAY * baseline + (1 - BASELINE_DECAY) * gained
            self._adam.zero_grad()
            (-sample.log_probability * (gained - baseline)).sum().backward()
            grads = [p.grad for p in self._controller.parameters() if p.grad is not None]
            norms.append(torch.linalg.vector_norm(torch.stack([grad.norm() for grad in grads])))
            self._adam.step()
            rewards.append(gained)
        self._tell_marginals()
        if not rewards:
            return None
        return ArchitectureUpdate(torch.tensor(-sum(rewards) / len(rewards)), torch.stack(norms).mean())

    def _gain(self, path: Path, judge: Evaluator) -> float | None:
        assert self._reward is not None
        return self._reward.of(one_hot(self._later | path, self._net.arch_g.decisions), judge)

    def _settle(self, judge: Evaluator, rng: torch.Generator) -> None:
        """Draw and score; the best becomes the genotype of the moment, and the best few lead to the next level."""
        search = self._trial.search
        with torch.no_grad():
            samples = [self._draw(rng) for _ in range(search.controller_samples)]
        gained = [(self._gain(sample.paths[0], judge), sample) for sample in samples]
        able = [(g, s) for g, s in gained if g is not None and self._connected(s.paths[0])]
        best = sorted(able, key=lambda pair: -pair[0])
        if best:
            self._net.arch_g.settled = self._later | best[0][1].paths[0]
        if self._phase == self._level.last_phase and self._number + 1 < len(self._levels):
            kept = [sample for _, sample in best] or samples
            self._grown = tuple(sample.start(0) for sample in kept[: search.beam])  # at the end of this step

    @torch.no_grad()
    def _tell_marginals(self) -> None:
        """G's logits: log of the probabilities of each choice, averaged over sequences; 0 in cells still to come."""
        rng = stream(self._trial.seed, "marginals", self._phase)
        drawn = self._controller.sample(self._starts(MARGINAL_SAMPLES, rng), rng)
        earlier: dict[str, Tensor] = {}
        for level in self._levels[: self._number]:
            for decision in level.decisions:
                named = [start.path[decision.name] for start in self._beam]
                earlier[decision.name] = torch.tensor([named.count(c) / len(named) for c in decision.choices])
        shares = earlier | {name: found.mean(0) for name, found in drawn.shares.items()}
        logits = self._net.arch_g
        state = {
            d.name: shares[d.name].clamp_min(1e-6).log() if d.name in shares else torch.zeros(len(d.choices))
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
            "settled": dict(self._net.arch_g.settled),
            "rest": self._rest.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        counters = state["counters"]
        self._updated, self._phase = counters["updated"], counters["phase"]
        self._enter(counters["number"], tuple(Start(**start) for start in state["beam"]))
        self._controller.load_state_dict(state["controller"])
        self._adam.load_state_dict(state["adam"])
        self._net.arch_g.settled = state["settled"]
        self._rest.load_state_dict(state["rest"], self._net.arch_g.logits.device)
