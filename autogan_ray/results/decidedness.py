"""Whether a search decided anything: a genotype whose decisions are all near uniform is noise, not a finding.

With the published learning rate of the logits a short search ends where it began; its genotype is then the argmax of
the initial noise, and must not be shown as found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ENTROPY_LIMIT = 0.8


@dataclass(frozen=True)
class Decidedness:
    """Over all open decisions of both networks.

    Args:
        entropy: mean of entropy / log(number of choices), 0 to 1.
        leading: share of decisions whose likeliest choice is well above its uniform share.
        decisions: how many there are.
    """

    entropy: float
    leading: float
    decisions: int

    @property
    def undecided(self) -> bool:
        return self.decisions > 0 and (self.entropy > ENTROPY_LIMIT or self.leading <= 0.5)

    def __str__(self) -> str:
        word = "UNDECIDED" if self.undecided else "decided"
        return f"{word} (entropy {self.entropy:.2f} of uniform, {self.leading:.0%} of decisions clear)"


def decidedness(decisions: Mapping[str, Mapping[str, Sequence[float | None]]]) -> Decidedness:
    """From decision -> choice -> (logit, probability)."""
    # None is a logit that was not finite: its search diverged and decided nothing.
    shares = [
        [1 / len(row) if p[1] is None else p[1] for p in row.values()] for row in decisions.values() if len(row) > 1
    ]
    if not shares:
        return Decidedness(0.0, 1.0, 0)
    entropies = [-sum(p * math.log(p) for p in row if p > 0) / math.log(len(row)) for row in shares]
    leading = [max(row) >= clear_share(len(row)) for row in shares]
    return Decidedness(sum(entropies) / len(shares), sum(leading) / len(shares), len(shares))


def clear_share(choices: int) -> float:
    """Twice the uniform share; with two or three choices, where that is (nearly) certainty, half way to certainty."""
    return min(2 / choices, (1 + 1 / choices) / 2)
