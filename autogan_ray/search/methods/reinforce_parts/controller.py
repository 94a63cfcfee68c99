"""AutoGAN's controller: an LSTM that samples one choice after another (Gong et al., ICCV 2019; Zoph and Le, 2017).

The published controller decides the block genes of AutoGAN's cells; this controller takes any list of decisions, a
token for each, in the order of the space. Sizes are as published: one LSTM cell of 100 units, an embedding over all
choices, a linear decoder per decision. It runs on the CPU, so that what is sampled does not depend on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autogan_ray.search.methods.single_path import Path
from autogan_ray.spaces.part import Decision
from autogan_ray.training.streams import stream_seed

HIDDEN = 100


@dataclass(frozen=True)
class Start:
    """The beginning of a sequence: choices of earlier cells, and the LSTM's state (h, c), both [HIDDEN], after them."""

    path: Path
    h: Tensor
    c: Tensor


BEGINNING = Start({}, torch.zeros(HIDDEN), torch.zeros(HIDDEN))


@dataclass(frozen=True)
class Sample:
    """N architectures that were sampled together.

    Args:
        paths: the choices of each start, followed by the sampled choices.
        log_probability: [N] of the sampled choices, with gradient to the controller.
        entropy: [N], summed over the decisions.
        probabilities: decision -> [N, choices], with which each token was sampled.
        h, c: [N, HIDDEN], the state behind the last token.
    """

    paths: list[Path]
    log_probability: Tensor
    entropy: Tensor
    probabilities: dict[str, Tensor]
    h: Tensor
    c: Tensor

    def start(self, index: int) -> Start:
        """Returns where a next controller goes on from the architecture with this number."""
        return Start(self.paths[index], self.h[index].detach().clone(), self.c[index].detach().clone())


class Controller(nn.Module):
    """Samples architectures.

    Args:
        decisions: at least one.
        seed: of the initial weights.
    """

    def __init__(self, decisions: Sequence[Decision], seed: int) -> None:
        super().__init__()
        self._decisions = tuple(decisions)
        counts = [len(decision.choices) for decision in decisions]
        self._offsets = [sum(counts[:index]) for index in range(len(counts))]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(seed, "controller weights"))
            self.cell = nn.LSTMCell(HIDDEN, HIDDEN)
            self.embedding = nn.Embedding(sum(counts), HIDDEN)
            self.decoders = nn.ModuleList(nn.Linear(HIDDEN, count) for count in counts)

    def sample(self, starts: Sequence[Start], rng: torch.Generator) -> Sample:
        """Samples an architecture behind each start."""
        h, c = torch.stack([start.h for start in starts]), torch.stack([start.c for start in starts])
        token_input = torch.zeros(len(starts), HIDDEN)
        log_probability, entropy = torch.zeros(len(starts)), torch.zeros(len(starts))
        paths = [dict(start.path) for start in starts]
        probabilities: dict[str, Tensor] = {}
        for decision, offset, decoder in zip(self._decisions, self._offsets, self.decoders, strict=True):
            h, c = self.cell(token_input, (h, c))
            log_p = torch.log_softmax(decoder(h), dim=1)
            drawn = torch.multinomial(log_p.detach().exp(), 1, generator=rng)
            log_probability = log_probability + log_p.gather(1, drawn).squeeze(1)
            entropy = entropy - (log_p.exp() * log_p).sum(1)
            probabilities[decision.name] = log_p.detach().exp()
            for path, index in zip(paths, drawn.flatten().tolist(), strict=True):
                path[decision.name] = decision.choices[index]
            token_input = self.embedding(drawn.squeeze(1) + offset)
        return Sample(paths, log_probability, entropy, probabilities, h, c)
