"""Whether a search decided anything: a genotype whose decisions are all near uniform is noise, not a finding.

With the published learning rate of the logits a short search ends where it began; its genotype is then the argmax of
the initial noise, and must not be presented as a result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ENTROPY_LIMIT = 0.8


@dataclass(frozen=True)
class Decidedness:
    """How clear the probabilities of all open decisions of both networks are.

    Args:
        entropy: mean of entropy / log(number of choices), 0 to 1.
        leading: fraction of decisions whose likeliest choice is clear (:func:`clear_probability`), 0 to 1.
        decisions: number of open decisions.
    """

    entropy: float
    leading: float
    decisions: int

    @property
    def undecided(self) -> bool:
        """Whether the genotype is noise: decisions are near uniform on average, or most of them are not clear."""
        return self.decisions > 0 and (self.entropy > ENTROPY_LIMIT or self.leading <= 0.5)

    def __str__(self) -> str:
        word = "UNDECIDED" if self.undecided else "decided"
        return f"{word} (entropy {self.entropy:.2f} of uniform, {self.leading:.0%} of decisions clear)"


def decidedness(decisions: Mapping[str, Mapping[str, Sequence[float | None]]]) -> Decidedness:
    """Returns the decidedness of a record's table: decision -> choice -> (logit, probability)."""
    # None is a logit that was not finite: its search diverged and decided nothing.
    rows = [
        [1 / len(row) if p[1] is None else p[1] for p in row.values()] for row in decisions.values() if len(row) > 1
    ]
    if not rows:
        return Decidedness(0.0, 1.0, 0)
    entropies = [-sum(p * math.log(p) for p in row if p > 0) / math.log(len(row)) for row in rows]
    leading = [max(row) >= clear_probability(len(row)) for row in rows]
    return Decidedness(sum(entropies) / len(rows), sum(leading) / len(rows), len(rows))


def clear_probability(choices: int) -> float:
    """Returns from which probability on a choice is clear: twice the uniform one.

    With two or three choices, where that is (nearly) certainty, it is half way from uniform to certainty.
    """
    return min(2 / choices, (1 + 1 / choices) / 2)
