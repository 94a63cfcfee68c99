"""Text for people: a genotype, one line a cell, in the words of the space; and what a cell of a space leaves open."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby

from autogan_ray.spaces.dag import INPUT, PLAIN, DagPart, Edge
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.spaces.part import Part
from autogan_ray.spaces.sizes import CellLayout, cells_in_words, generator_cells

WIDTH = 100
"""Columns that drawings keep to."""


def draw(genotype: Genotype) -> str:
    """Returns a genotype as text, both networks cell by cell; decisions keep the space's order."""
    lines = [f"{genotype.space}, {genotype.image_size} px, genotype {genotype.genotype_id}"]
    for title, pairs in (("generator", genotype.generator), ("discriminator", genotype.discriminator)):
        lines.append(f"  {title}" + ("" if pairs else ": fixed"))
        for cell, group in groupby(pairs, key=lambda pair: pair[0].split(".")[1]):
            decided = "  ".join(f"{name.split('.', 2)[2]}={choice}" for name, choice in group)
            lines.append(f"    {cell}: {decided}")
    return "\n".join(lines)


def draw_cell(part: Part, network: str, image_size: int) -> str:
    """Returns the cell of one network: what enters what, the choices, and what single cells have otherwise.

    Args:
        network: ``g`` or ``d``.
        image_size: side in pixels. Raises SpaceError for a size that no cell reaches.
    """
    title = "generator" if network == "g" else "discriminator"
    layouts = part.layout(image_size)
    if not layouts:
        choices = [choice for decision in part.decisions(network, image_size) for choice in decision.choices]
        return _wrapped(f"{title}: one hand-made network as a whole, of:", " ".join(choices))
    sides = [generator_cells(image_size)[0] if network == "g" else image_size]
    for layout in layouts:
        sides.append(sides[-1] * 2 if layout.level > 0 else sides[-1] // 2 if layout.level < 0 else sides[-1])
    cells = "1 cell" if len(layouts) == 1 else f"{len(layouts)} cells"
    note, lines = _dag_lines(part, layouts) if isinstance(part, DagPart) else _lines(part, layouts)
    return "\n".join([_wrapped(f"{title}: {cells}, {' -> '.join(map(str, sides))} px;", note), *lines])


def _lines(part: Part, layouts: Sequence[CellLayout]) -> tuple[str, list[str]]:
    note, rows = part.drawing(layouts)
    return note, [_row(name, text) for name, text in rows]


def _dag_lines(part: DagPart, layouts: Sequence[CellLayout]) -> tuple[str, list[str]]:
    notes = {"none": "no normalisation", "batch": "batch norm after convolutions", "spectral": "spectral norm"}
    return notes[part.norm], [*_node_lines(part), *_other_lines(part, layouts)]


def _node_lines(part: DagPart) -> list[str]:
    """Returns lines on the input and every node in topological order, each with the edges that enter it."""
    cell = part.cell
    levels = part.levels(CellLayout(2, part.output_level))
    source = "the cell before; in cell1 " + ("z" if part.output_level > 0 else "the image")
    if part.latent_parts == "cells":
        differs = "".join(f", {count} at {size} px" for size, count in part.latent_parts_at.items())
        source = f"the cell before + a part of z; in cell1 a part alone (z has as many parts as cells{differs})"
    lines = [_row(INPUT, source)]
    for node in cell.order:
        roles = [
            (node in cell.needed, "never empty"),
            (node == cell.skip_in, "skips of earlier cells are added"),
            (node == cell.skip_out, "later cells see it as their skip"),
            (node == cell.output, "the output"),
        ]
        said = [_side(levels[node]), *(text for holds, text in roles if holds)]
        lines.append(_row(node, "; ".join(said)))
        lines += [f"    {_edge(edge)}" for edge in cell.edges if edge.target == node]
    return lines


def _other_lines(part: DagPart, layouts: Sequence[CellLayout]) -> list[str]:
    """Returns lines on what single cells have otherwise, the skips, and the lists of operations."""
    cell, lines = part.cell, []
    if part.first_block:
        lines.append(_row("cell1", "the first block of AutoGAN's D instead, nothing is decided"))
    changed = [edge for edge in part.edges(CellLayout(1, part.output_level)) if edge.name in part.first_cell]
    for (listed, activation), group in groupby(changed, key=lambda edge: (edge.choices, edge.activation)):
        names = ", ".join(edge.name for edge in group)
        lines.append(_row("cell1", f"{names}: {listed}" + ("" if activation else ", no ReLU before")))
    keeping = [layout for layout in layouts if layout.level == 0 and not layout.fixed]
    if keeping:
        plain = [edge.name for edge in part.edges(keeping[0]) if edge.choices == PLAIN]
        text = f"the side is kept; passing their node on, undecided: {', '.join(plain)}"
        lines.append(_row(cells_in_words(keeping), text))
    if cell.skip_in is not None and len(layouts) > 1:
        given = cell.skip_out or cell.output
        lines.append(_row("skips", f"{given} of every earlier cell -> {cell.skip_in}, {_skip_way(part, layouts)}"))
    used = {edge.choices for layout in layouts if not layout.fixed for edge in part.edges(layout)} | {cell.skip_choices}
    return lines + [_row(name, " ".join(listed)) for name, listed in part.choices.items() if name in used]


def _skip_way(part: DagPart, layouts: Sequence[CellLayout]) -> str:
    cell = part.cell
    if cell.skip_choices is not None:
        return f"each by an operation of {cell.skip_choices}, repeated until it fits (skipK is from cellK)"
    mode = {layout.number: cell.skip_modes[(layout.number - 1) % len(cell.skip_modes)] for layout in layouts[1:]}
    modes = [f"{way} in cell{number}" for number, way in mode.items()]
    return f"resized ({', '.join(modes)}), then a 1x1 convolution"


def _edge(edge: Edge) -> str:
    note = "" if edge.activation else ", no ReLU before"
    if edge.sides:
        note += f", only where the output has {' or '.join(map(str, edge.sides))} px"
    return f"{edge.source} --{edge.name}--> {edge.target}  {edge.choices}{note}"


def _side(level: int) -> str:
    return "the side of in" if level == 0 else f"{2**level}x the side" if level > 0 else f"1/{2**-level} of the side"


def _row(name: str, text: str) -> str:
    return _wrapped(f"  {name:<9}", text)


def _wrapped(lead: str, text: str) -> str:
    """Returns ``lead`` and text, broken at spaces to the width; later lines begin below the text's."""
    if not text:
        return lead.rstrip(" ;")
    indent = " " * (len(lead) + 1)
    return textwrap.fill(text, WIDTH, initial_indent=f"{lead} ", subsequent_indent=indent, break_long_words=False)
