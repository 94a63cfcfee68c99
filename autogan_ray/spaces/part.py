"""What every kind of network in a search space has: cells, and the decisions in them.

A kind of network is one file here (its part: the keys of the TOML file, and what is decided in each cell) and one file
in ``nets/`` (its modules). :class:`Part` says what the rest of the package asks of a part; what a kind does not define
is that of a network whose choices always form a connected network.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from autogan_ray.base.value import Value
from autogan_ray.spaces.operations import NONE, SKIP
from autogan_ray.spaces.sizes import CellLayout


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


class Part(Value):
    """One network of a search space, as a file describes it: G or D.

    ``network`` is everywhere the network's name in the space, ``g`` or ``d``. Decisions have two names: a short one in
    their cell (``e0``), and the full one of genotypes and tables (``g.cell1.e0``).
    """

    kind: str

    def check_role(self, network: str) -> None:
        """Raises ValueError where this part cannot be that network of a space."""

    def layout(self, image_size: int) -> tuple[CellLayout, ...]:
        """Returns the cells at an image size (side in pixels), first to last; nothing for a network without cells.

        Raises SpaceError for a size that no cell reaches.
        """
        raise NotImplementedError

    def decided(self, layout: CellLayout) -> tuple[Decision, ...]:
        """Returns the decisions of one cell, by their short names."""
        return ()

    def decisions(self, network: str, image_size: int) -> tuple[Decision, ...]:
        """Returns all decisions by their full names, cell by cell."""
        return tuple(
            replace(decision, name=layout.lead(network) + decision.name)
            for layout in self.layout(image_size)
            for decision in self.decided(layout)
        )

    def dead_ends(self, layout: CellLayout, choices: Mapping[str, str]) -> list[str]:
        """Returns the nodes of one cell that lack an input under these choices (short name -> choice)."""
        return []

    def connected(self, image_size: int) -> int:
        """Returns the number of choice combinations without a dead end."""
        return math.prod(len(decision.choices) for decision in self.decisions("", image_size))

    def covering(self, decisions: Sequence[Decision]) -> list[dict[str, str]]:
        """Returns the choices of a few networks in which together each module stands, and runs, at least once.

        Here a module waits for one choice only. Costs are measured on these networks (``nets/cost/prices.py``).

        Args:
            decisions: all of this network.
        """
        operations = {d.name: [c for c in d.choices if c != d.no_connection] for d in decisions}
        rounds = max((len(choices) for choices in operations.values()), default=1)
        return [{name: choices[i % len(choices)] for name, choices in operations.items()} for i in range(rounds)]

    def batch_norms(self, choices: Iterable[str]) -> str:
        """Returns what brings batch norms into the cells of a network with these choices, as its file has it.

        It is empty where nothing does.
        """
        return ""

    def latent_pieces(self, image_size: int) -> int:
        """Returns into how many equal pieces a generator of this part cuts z; all but the first feed later cells."""
        return 1

    def drawing(self, layouts: Sequence[CellLayout]) -> tuple[str, list[tuple[str, str]]]:
        """Returns (what kind of cell it is, rows of name and text that describe one), for people to read."""
        return "", [(decision.name, " ".join(decision.choices)) for decision in self.decided(layouts[-1])]
