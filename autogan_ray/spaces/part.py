"""What all networks of a search space have in common: decisions, each with a name and choices."""

from __future__ import annotations

from dataclasses import dataclass

from autogan_ray.spaces.operations import NONE, SKIP


@dataclass(frozen=True)
class Decision:
    """One open place of a network, at which a genotype makes one choice.

    Args:
        name: such as ``g.cell1.e0``: network, cell, and what is decided there.
        choices: in the order of the logits.
        edge: True where the choices are operations (:mod:`~autogan_ray.spaces.operations`) that carry one node of a
            cell to another. Only there are ``none`` and ``skip`` operations: the ``none`` of AutoGAN's ``norm`` means
            "no normalisation".
    """

    name: str
    choices: tuple[str, ...]
    edge: bool = False

    @property
    def network(self) -> str:
        """``g`` or ``d``."""
        return self.name.split(".", 1)[0]

    @property
    def no_connection(self) -> str | None:
        """The choice that takes the edge out of the network; None where there is no such choice."""
        return NONE if self.edge and NONE in self.choices else None

    @property
    def identity(self) -> str | None:
        """The choice that passes the edge's source on as it is; None where there is no such choice."""
        return SKIP if self.edge and SKIP in self.choices else None
