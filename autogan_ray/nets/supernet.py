"""The supernet of a trial: both networks with every choice, and the architecture parameters beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from autogan_ray.config.sections import ComputeConfig
from autogan_ray.nets.compute import configured
from autogan_ray.nets.gan import Discriminator, Generator
from autogan_ray.nets.relaxation import ArchitectureParameters
from autogan_ray.nets.shape import Shape
from autogan_ray.spaces.derivation.derive import NO_RULES, Rules, derive
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.spaces.space import SearchSpace

DecisionTable = dict[str, dict[str, tuple[float, float]]]
"""decision -> choice -> (logit, probability)."""


@dataclass(frozen=True)
class Supernet:
    """Weights live in the two modules, logits in the two sets of architecture parameters: no tensor is in both."""

    space: SearchSpace
    shape: Shape
    compute: ComputeConfig
    generator: Generator
    discriminator: Discriminator
    arch_g: ArchitectureParameters
    arch_d: ArchitectureParameters
    rules: Rules = NO_RULES

    @classmethod
    def build(
        cls,
        space: SearchSpace,
        shape: Shape,
        rng: torch.Generator,
        device: torch.device | str = "cpu",
        compute: ComputeConfig | None = None,
        rules: Rules = NO_RULES,
    ) -> Supernet:
        """Weights and logits are drawn from ``rng``; the global generator is left as it was."""
        compute = compute or ComputeConfig()
        seed = int(torch.randint(2**62, (), generator=rng))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            generator = configured(Generator(space, shape, None).to(device), compute, shape.image_size)
            discriminator = configured(Discriminator(space, shape, None).to(device), compute, shape.image_size)

        def connected(choices: Mapping[str, str]) -> bool:
            return not space.dead_ends(choices, shape.image_size)

        arch_g, arch_d = (
            ArchitectureParameters(space.decisions(shape.image_size, network), rng, device, connected)
            for network in space.networks
        )
        return cls(space, shape, compute, generator, discriminator, arch_g, arch_d, rules)

    def table(self) -> DecisionTable:
        """Returns logit and probability of every choice of both networks."""
        return self.arch_g.table() | self.arch_d.table()

    def probabilities(self) -> dict[str, dict[str, float]]:
        """decision -> choice -> probability, of both networks: of the choices left."""
        left, table = self.arch_g.left() | self.arch_d.left(), self.table()
        return {name: {choice: row[choice][1] for choice in left[name]} for name, row in table.items()}

    @property
    def settled(self) -> dict[str, str]:
        """decision -> choice, of the networks whose choices a method settled on."""
        return {**self.arch_g.settled, **self.arch_d.settled}

    def genotype(self) -> Genotype:
        """What a method settled on, and what follows from the logits by the rules.

        See :mod:`autogan_ray.spaces.derivation.derive`.
        """
        choices = derive(self.space, self.probabilities(), self.shape.image_size, self.rules, self.settled)
        return self.space.genotype(choices, self.shape.image_size)


def mean_entropy(table: DecisionTable, network: str) -> float | None:
    """Mean over a network's decisions of entropy / log(number of choices), 0 to 1; None without open decisions."""
    entropies = [
        -sum(p * math.log(p) for _, p in row.values() if p > 0) / math.log(len(row))
        for name, row in table.items()
        if name.startswith(f"{network}.") and len(row) > 1
    ]
    return sum(entropies) / len(entropies) if entropies else None
