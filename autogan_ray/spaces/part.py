"""What all networks of a search space have in common: decisions, each with a name and choices."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Decision:
    """One open place: ``name`` such as ``g.cell1.e0``, and its choices in the order of the logits."""

    name: str
    choices: tuple[str, ...]

    @property
    def network(self) -> str:
        return self.name.split(".", 1)[0]
