"""A network of a search space whose cells are DAGs, as a file writes it.

Everything about a part that can be wrong is said here, when the file is read: unknown operations, nodes that
nothing reaches, cycles, edges whose operations do not fit the image side.
"""

from __future__ import annotations

import graphlib
import itertools
import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from autogan_ray.base.errors import SpaceError
from autogan_ray.base.value import Value, known_name, no_doubles
from autogan_ray.spaces.operations import NONE, OPERATIONS
from autogan_ray.spaces.part import Decision, Part
from autogan_ray.spaces.sizes import CellLayout, discriminator_layout, generator_cells, generator_layout

INPUT = "in"
PLAIN = ""
"""Instead of a list of choices: the edge passes its node on, and nothing is decided."""
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Edge(Value):
    """An edge of a DAG cell, which is a decision: which operation carries ``source`` to ``target``."""

    name: Name
    source: str = Field(alias="from")
    target: str = Field(alias="to")
    choices: str
    """Name of a list in the part's ``choices``."""
    activation: bool = True
    """False drops the leading ReLU of the operations (the first cell of D reads the image itself)."""
    sides: tuple[PositiveInt, ...] = ()
    """Sides in pixels of a cell's output; in cells of other sides the edge passes its node on as it is, and nothing is
    decided. Empty: the edge is a decision in every cell."""


class EdgeChange(Value):
    """What an edge of the first cell has otherwise than in later cells; None: nothing."""

    choices: str | None = None
    activation: bool | None = None


class Cell(Value):
    """A DAG: ``in`` is the cell's input; a node is the sum of its incoming edges."""

    nodes: tuple[Name, ...] = Field(min_length=1)
    output: str
    required: tuple[str, ...] = ()
    """Nodes that must carry data in every genotype; the output always must."""
    skip_out: str | None = None
    """The node later cells see, after its own incoming skips were added."""
    skip_in: str | None = None
    """The node to which earlier cells' skip outputs are added."""
    skip_modes: tuple[Literal["nearest", "bilinear"], ...] = Field(default=("nearest",), min_length=1)
    """How skips are resized before a fixed 1x1 convolution: cell k uses entry (k - 1) modulo the length."""
    skip_choices: str | None = None
    """Instead of that, a decision for each skip (``skip1`` comes from cell 1): name of a list of operations that
    double the side. The chosen one runs once for each doubling that is missing, with the same weights."""
    edges: tuple[Edge, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_a_connected_dag(self) -> Self:
        no_doubles("node", self.nodes)
        if INPUT in self.nodes:
            raise ValueError(f"node {INPUT!r}: that is the cell's input; give the node another name")
        no_doubles("edge", [edge.name for edge in self.edges])
        for edge in self.edges:
            known_name(f"edge {edge.name!r}: from", edge.source, (INPUT, *self.nodes))
            known_name(f"edge {edge.name!r}: to", edge.target, self.nodes)
        for what, node in [("output", self.output), ("skip_out", self.skip_out), ("skip_in", self.skip_in)]:
            if node is not None:
                known_name(what, node, self.nodes)
        for node in self.required:
            known_name("required", node, self.nodes)
        if self.skip_choices is not None:
            if self.skip_in is None:
                raise ValueError("skip_choices without skip_in: say to which node the skips are added")
            for edge in self.edges:
                if edge.name.startswith("skip"):
                    raise ValueError(f"edge {edge.name!r}: names that begin with 'skip' are those of the skips")
        _ = self.order  # names a cycle
        alive = _reach([(edge.source, edge.target) for edge in self.edges], INPUT)
        useful = _reach([(edge.target, edge.source) for edge in self.edges], self.output)
        for node in self.nodes:
            if node not in alive:
                raise ValueError(f"dead node {node!r}: no edge leads to it from {INPUT!r}")
            if node not in useful and node != self.skip_out:
                raise ValueError(f"dead node {node!r}: nothing leads from it to the output {self.output!r}")
        return self

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The nodes in an order in which every edge leads forward. Raises ValueError naming a cycle."""
        graph: dict[str, set[str]] = {node: set() for node in self.nodes}
        for edge in self.edges:
            if edge.source != INPUT:
                graph[edge.target].add(edge.source)
        try:
            return tuple(graphlib.TopologicalSorter(graph).static_order())
        except graphlib.CycleError as error:
            raise ValueError(f"cycle: {' -> '.join(reversed(error.args[1]))}") from error

    @property
    def needed(self) -> frozenset[str]:
        """Nodes into which an edge must lead in every genotype."""
        return frozenset((*self.required, self.output))


class DagPart(Part):
    """A network of equal cells, each a DAG whose edges are the decisions."""

    kind: Literal["dag"]
    norm: Literal["none", "batch", "spectral"] = "none"
    """After each convolution of a cell (batch), or of each convolution's weight (spectral)."""
    latent_parts: Literal["one", "cells"] = "one"
    """G only. ``one``: z feeds the first cell. ``cells``: z is cut into parts, one a cell."""
    latent_parts_at: dict[Annotated[str, Field(pattern="^[0-9]+$")], PositiveInt] = Field(default_factory=dict)
    """Number of parts at an image size (a TOML key, hence a string), where it is not the number of cells."""
    choices: dict[Name, tuple[str, ...]]
    cell: Cell
    first_cell: dict[str, EdgeChange] = Field(default_factory=dict)
    first_block: Literal["autogan"] | None = None
    """D only. The first cell is the first block of AutoGAN's discriminator, and nothing is decided in it."""
    cells: PositiveInt | None = None
    """D only. How many cells, the first block among them; None: as many as halve the image down to 2 px."""
    halvings: PositiveInt | None = None
    """D only. So many of the first cells halve the image side, as far as it lasts; in the others, edges of operations
    that would halve it pass their node on as it is. None: all cells halve."""

    @model_validator(mode="after")
    def _operations_fit(self) -> Self:
        for name, listed in self.choices.items():
            no_doubles(f"choices.{name}: operation", listed)
            if not set(listed) - {NONE}:
                raise ValueError(f"choices.{name} = {list(listed)}; a decision needs an operation besides 'none'")
            for operation in listed:
                known_name(f"choices.{name}: operation", operation, OPERATIONS)
            levels = {OPERATIONS[operation].level for operation in listed}
            if len(levels) > 1:
                raise ValueError(f"choices.{name} mixes operations that change the image side differently")
        for edge in self.cell.edges:
            known_name(f"edge {edge.name!r}: choices", edge.choices, self.choices)
            self._check_sides(f"edge {edge.name!r}", edge.sides, edge.choices)
        if self.cell.skip_choices is not None:
            known_name("skip_choices", self.cell.skip_choices, self.choices)
            if OPERATIONS[self.choices[self.cell.skip_choices][0]].level != 1:
                what = self.cell.skip_choices
                raise ValueError(f"skip_choices = {what!r}: a skip needs operations that double the side")
        if (self.cells is None) != (self.halvings is None):
            raise ValueError("cells and halvings belong together: how many cells, and how many of them halve the side")
        if self.cells is not None and self.halvings is not None and self.halvings > self.cells:
            raise ValueError(f"halvings = {self.halvings} is more than cells = {self.cells}")
        if self.first_block and self.first_cell:
            raise ValueError("first_cell and first_block exclude each other: the first cell is the block")
        edges = {edge.name: edge for edge in self.cell.edges}
        for key, change in self.first_cell.items():
            known_name("first_cell: edge", key, edges)
            if change.choices is not None:
                known_name(f"first_cell.{key}: choices", change.choices, self.choices)
                self._check_sides(f"first_cell.{key} = {change.choices!r}", edges[key].sides, change.choices)
        for number in (1, 2):
            self.levels(CellLayout(number, self.output_level))  # raises where image sides disagree
        return self

    def _check_sides(self, where: str, sides: tuple[int, ...], choices: str) -> None:
        if sides and self._level_of(choices) != 0:
            raise ValueError(f"{where}: sides are for edges whose operations keep the image side")

    def _level_of(self, choices: str) -> int:
        """Returns what the operations of a list do to the image side, which they all do; 0 for ``PLAIN``."""
        return 0 if choices == PLAIN else OPERATIONS[self.choices[choices][0]].level

    def check_role(self, network: str) -> None:
        """Raises ValueError where a cell changes the image side otherwise than it must, or a key is the other
        network's."""
        if network == "g":
            self._check_level("generator", "double", +1)
            for key in ("first_block", "cells", "halvings"):
                if getattr(self, key) is not None:
                    raise ValueError(f"generator: {key} is for discriminators")
            if self.norm == "spectral":
                raise ValueError("generator: norm 'spectral' is for discriminators; use 'none' or 'batch'")
            return
        self._check_level("discriminator", "halve", -1)
        if self.cell.skip_in is not None:
            raise ValueError("discriminator: skip_in is for generators")
        for edge in () if self.first_block else self.edges(CellLayout(1, -1)):
            for operation in self.choices[edge.choices]:
                if edge.source == INPUT and not OPERATIONS[operation].projects:
                    raise ValueError(
                        f"discriminator: first_cell.{edge.name} reads the image, so {operation!r} (which keeps "
                        "the number of channels) cannot stand there; give it a list of convolutions"
                    )

    def _check_level(self, network: str, does: str, level: int) -> None:
        """Raises ValueError where the first cell or a later one does not do this to the image side."""
        if self.output_level != level:
            raise ValueError(f"{network}: a cell must {does} the image side on its way to the output")
        first = self.levels(CellLayout(1, level))[self.cell.output]
        if first != level:
            own = {edge.name: edge.choices for edge in self.cell.edges}
            changed = [
                f"{key} = {change.choices!r} (in later cells {own[key]!r})"
                for key, change in self.first_cell.items()
                if change.choices is not None and self._level_of(change.choices) != self._level_of(own[key])
            ]
            raise ValueError(
                f"{network}: first_cell: {', '.join(changed)}: the first cell must {does} the image side on its way to "
                f"the output as well, and its output has {2.0**first:g} times the side of its input"
            )

    def layout(self, image_size: int) -> tuple[CellLayout, ...]:
        """Returns the cells of a generator where a cell doubles the image side, else of a discriminator.

        Raises SpaceError for a size that no cell reaches, or at which an edge would pass the image on as it is.
        """
        if self.output_level > 0:
            return generator_layout(image_size)
        cells = discriminator_layout(image_size, self.cells, self.halvings, fixed=1 if self.first_block else 0)
        for first in cells[:1]:
            for edge in () if first.fixed else self.edges(first):
                if edge.source == INPUT and edge.choices == PLAIN:
                    raise SpaceError(
                        f"discriminator: edge {edge.name!r}: sides = {list(edge.sides)} leave out {first.side} px, the "
                        f"first cell's at an image size of {image_size} px; there it reads the image and cannot pass "
                        f"it on as it is, so add {first.side} to them"
                    )
        return cells

    def batch_norms(self, choices: Iterable[str]) -> str:
        """Returns the norm of all operations, or those of these choices that have batch norms of their own."""
        if self.norm == "batch":
            return 'norm = "batch"'
        own = [name for name in dict.fromkeys(choices) if OPERATIONS[name].batch_norm and self.norm == "none"]
        return ", ".join(own)

    def latent_pieces(self, image_size: int) -> int:
        """Returns 1, or one a cell, or what the space says for this image size."""
        if self.latent_parts == "one":
            return 1
        _, cells = generator_cells(image_size)
        return min(self.latent_parts_at.get(str(image_size), cells), cells)

    def edges(self, layout: CellLayout) -> tuple[Edge, ...]:
        """Returns the edges of one cell; those without a decision have ``PLAIN`` for their choices."""
        return self._cell(layout)[0]

    def decided(self, layout: CellLayout) -> tuple[Decision, ...]:
        """Returns the decisions of one cell, by their short names: its edges, then its searched skips."""
        return self._cell(layout)[1]

    def _cell(self, layout: CellLayout) -> tuple[tuple[Edge, ...], tuple[Decision, ...]]:
        """Returns both, made once: a search asks at every step whether a sampled architecture is connected."""
        if layout not in self._cells:
            edges = tuple(self._edge(edge, layout) for edge in self.cell.edges)
            listed = {edge.name: edge.choices for edge in edges if edge.choices != PLAIN}
            if self.cell.skip_choices is not None:
                listed |= {f"skip{earlier}": self.cell.skip_choices for earlier in range(1, layout.number)}
            decided = tuple(Decision(name, self.choices[choices], edge=True) for name, choices in listed.items())
            self._cells[layout] = edges, () if layout.fixed else decided
        return self._cells[layout]

    @cached_property
    def _cells(self) -> dict[CellLayout, tuple[tuple[Edge, ...], tuple[Decision, ...]]]:
        return {}

    def _edge(self, edge: Edge, layout: CellLayout) -> Edge:
        if layout.first and edge.name in self.first_cell:
            edge = edge.model_copy(update=self.first_cell[edge.name].model_dump(exclude_none=True))
        elsewhere = edge.sides and layout.side is not None and layout.side not in edge.sides
        if elsewhere or (layout.level == 0 and self._level_of(edge.choices) != 0):
            return edge.model_copy(update={"choices": PLAIN})
        return edge

    def dead_ends(self, layout: CellLayout, choices: Mapping[str, str]) -> list[str]:
        """Returns the nodes of one cell that are needed or read and into which no path from the input leads.

        Args:
            choices: short name -> choice, of all decisions of the cell.
        """
        if layout.fixed:
            return []
        cut = {d.name for d in self.decided(layout) if choices[d.name] == d.no_connection}
        kept = [edge for edge in self.edges(layout) if edge.name not in cut]
        live = {INPUT}
        for node in self.cell.order:
            if any(edge.target == node and edge.source in live for edge in kept):
                live.add(node)
        read = {edge.source for edge in kept} | self.cell.needed
        return [node for node in self.cell.nodes if node in read and node not in live]

    def connected(self, image_size: int) -> int:
        """Returns the number of choice combinations without a dead end; counts of cells multiply."""
        return math.prod(self._connected(layout) for layout in self.layout(image_size) if not layout.fixed)

    def _connected(self, layout: CellLayout) -> int:
        """Returns the same for one cell: a product over the nodes, summed over the sets of dead nodes.

        A node is dead where no edge enters it. A genotype is connected where no edge that is kept leaves a dead node
        and no needed node is dead. So once the dead nodes are named, the edges into each node are chosen without the
        others: all "no connection" where it is dead, and else in any way that keeps at least one edge.
        """
        edges, decided = self.edges(layout), {d.name: d for d in self.decided(layout)}
        ways = {edge.name: len(decided[edge.name].choices) if edge.name in decided else 1 for edge in edges}
        may_be_cut = {
            edge.name: edge.name in decided and decided[edge.name].no_connection is not None for edge in edges
        }
        free = [node for node in self.cell.nodes if node not in self.cell.needed]
        total = 0
        for dead in itertools.chain(*(itertools.combinations(free, count) for count in range(len(free) + 1))):
            product = 1
            for node in self.cell.nodes:
                entering = [edge for edge in edges if edge.target == node]
                all_cut = math.prod(may_be_cut[edge.name] for edge in entering)
                any_way = math.prod(
                    may_be_cut[edge.name] if edge.source in dead else ways[edge.name] for edge in entering
                )
                product *= all_cut if node in dead else any_way - all_cut
            total += product
        skips = [len(decision.choices) for name, decision in decided.items() if name not in ways]
        return total * math.prod(skips)

    def levels(self, layout: CellLayout) -> dict[str, int]:
        """Returns node -> how often its image side is doubled against the input (negative: halved).

        Raises ValueError where two paths to a node disagree.
        """
        levels = {INPUT: 0}
        for node in self.cell.order:
            for edge in self.edges(layout):
                if edge.target != node:
                    continue
                level = levels[edge.source] + self._level_of(edge.choices)
                if levels.setdefault(node, level) != level:
                    raise ValueError(f"node {node!r}: edge {edge.name!r} brings another image side than the others")
        if self.cell.skip_in is not None and levels[self.cell.skip_in] != levels[self.cell.output]:
            raise ValueError("skip_in must have the image side of the output")
        giver = self.cell.skip_out or self.cell.output
        if self.cell.skip_choices is not None and levels[giver] != levels[self.cell.output]:
            raise ValueError(f"skip_out = {giver!r} has another image side than the output, which searched skips need")
        return levels

    @cached_property
    def output_level(self) -> int:
        """+1 where a cell doubles the image side, -1 where it halves it."""
        return self.levels(CellLayout(2, +1))[self.cell.output]


def _reach(arrows: list[tuple[str, str]], start: str) -> set[str]:
    """Returns the nodes to which (source, target) pairs lead from one node, itself among them."""
    reached, todo = {start}, [start]
    while todo:
        node = todo.pop()
        for source, target in arrows:
            if source == node and target not in reached:
                reached.add(target)
                todo.append(target)
    return reached
