"""Whether the edges that a genotype keeps still form networks, and the smallest repair where they do not.

The published repair (AdversarialNAS) treats one node after the other; here the smallest set of ``none`` edges is
found that makes every needed node live. Both agree wherever a single edge is enough, which is each case of G.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from autogan_ray.spaces.dag import INPUT, DagPart, Edge
from autogan_ray.spaces.sizes import CellLayout, generator_layout

if TYPE_CHECKING:  # the space checks genotypes through this module
    from autogan_ray.spaces.space import SearchSpace

Probabilities = Mapping[str, Mapping[str, float]]
"""decision -> choice -> probability."""


def _dag_cells(space: SearchSpace, image_size: int) -> Iterator[tuple[str, DagPart, CellLayout]]:
    """(network, part, cell) of every DAG cell in which something is decided."""
    for network, part in (("g", space.generator), ("d", space.discriminator)):
        if isinstance(part, DagPart):
            for cell in generator_layout(image_size) if network == "g" else part.layout_d(image_size):
                if not cell.fixed:
                    yield network, part, cell


def _kept(part: DagPart, cell: CellLayout, lead: str, choices: Mapping[str, str]) -> list[Edge]:
    """The edges that carry something: all but those whose choice is "no connection"."""
    cut = {d.name for d in part.decided(cell) if choices[lead + d.name] == d.no_connection}
    return [edge for edge in part.edges(cell) if edge.name not in cut]


def dead_ends(space: SearchSpace, choices: Mapping[str, str], image_size: int) -> list[tuple[str, int, str]]:
    """(network, cell, node) of every node that is needed or read but has no live input.

    ``choices`` may be those of one network alone.
    """
    found = []
    for network, part, cell in _dag_cells(space, image_size):
        lead = f"{network}.cell{cell.number}."
        if all(lead + decision.name not in choices for decision in part.decided(cell)):
            continue  # choices of the other network alone
        found += [(network, cell.number, node) for node in _starved(part, _kept(part, cell, lead, choices))]
    return found


def _starved(part: DagPart, kept: list[Edge]) -> list[str]:
    live = {INPUT}
    for node in part.cell.order():
        if any(edge.target == node and edge.source in live for edge in kept):
            live.add(node)
    read = {edge.source for edge in kept} | part.cell.needed
    return [node for node in part.cell.nodes if node in read and node not in live]


def derive_choices(space: SearchSpace, probabilities: Probabilities, image_size: int) -> dict[str, str]:
    """The likeliest choice of each decision, with starved nodes repaired.

    Of the smallest sets of ``none`` edges that suffice, the one with the least probability of ``none`` takes its
    likeliest operation instead. Ties between choices go to the earlier one.
    """
    choices = repaired(space, probabilities, image_size)
    assert choices is not None, "a connected cell cannot be beyond repair"
    return choices


def repaired(space: SearchSpace, probabilities: Probabilities, image_size: int) -> dict[str, str] | None:
    """The same for rows that may be of one network alone and lack choices; None where those left do not suffice."""
    choices = {name: max(shares, key=shares.__getitem__) for name, shares in probabilities.items()}
    for network, part, cell in _dag_cells(space, image_size):
        lead = f"{network}.cell{cell.number}."
        here = any(lead + decision.name in choices for decision in part.decided(cell))
        if here and not _repair(part, cell, lead, choices, probabilities):
            return None
    return choices


def _repair(part: DagPart, cell: CellLayout, lead: str, choices: dict[str, str], probabilities: Probabilities) -> bool:
    """Change ``choices`` of one cell in place; False where nothing helps."""
    kept = _kept(part, cell, lead, choices)
    if not _starved(part, kept):
        return True
    empty = [edge for edge in part.edges(cell) if edge not in kept]
    able = [edge for edge in empty if len(probabilities[lead + edge.name]) > 1]
    for count in range(1, len(able) + 1):
        fits = [some for some in itertools.combinations(able, count) if not _starved(part, kept + list(some))]
        if fits:
            empty_names = [[lead + edge.name for edge in edges] for edges in fits]
            for name in min(empty_names, key=lambda names: sum(probabilities[n][choices[n]] for n in names)):
                operations = {c: p for c, p in probabilities[name].items() if c != choices[name]}
                choices[name] = max(operations, key=operations.__getitem__)
            return True
    return False
