"""A genotype drawn as a graph: SVG of our own, readable without colours.

A cell is a box. Its nodes are vertical lines, from ``in`` at the left to the output at the right, and every edge of the
derived network is an arrow in a row of its own, with the operation above it:

    cell1, 4 -> 8 px
    in          a           out
    |--conv_3x3->|           |
    |------------bilinear--->|
    |           |---skip---->|

Edges that choose "no connection" are left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from autogan_ray.spaces.dag import INPUT, PLAIN, DagPart
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.spaces.part import Part
from autogan_ray.spaces.sizes import CellLayout, generator_cells
from autogan_ray.spaces.space import SearchSpace

COLUMN, ROW, LEFT, WIDTH = 112, 26, 34, 640
"""Pixels between two nodes, of an arrow's row, left of the first node, and of the whole drawing."""
HEAD = 48
"""Pixels of a cell above its first row: the title and the names of the nodes."""


def draw_graph(genotype: Genotype, space: SearchSpace, network: str) -> str:
    """Returns the SVG element of one network of a genotype.

    Args:
        space: in which the genotype was found; raises SpaceError for a size that it does not reach.
        network: ``g`` or ``d``.
    """
    part: Part = space.generator if network == "g" else space.discriminator
    word = "generator" if network == "g" else "discriminator"
    choices = dict(genotype.generator if network == "g" else genotype.discriminator)
    layouts = part.layout(genotype.image_size)
    parts, top = [], 0.0
    if not layouts:
        lines = [f"{name.split('.')[-1]}: {choice}" for name, choice in choices.items()] or ["fixed"]
        drawn, top = _box(f"{word}, as a whole", lines, top)
        parts.append(drawn)
    side = generator_cells(genotype.image_size)[0] if network == "g" else genotype.image_size
    for layout in layouts:
        out = side * 2 if layout.level > 0 else side // 2 if layout.level < 0 else side
        title = f"cell{layout.number}, {side} → {out} px" if side != out else f"cell{layout.number}, {side} px"
        own = {
            name.split(".", 2)[2]: choice for name, choice in choices.items() if name.startswith(layout.lead(network))
        }
        if isinstance(part, DagPart) and not layout.fixed:
            drawn, top = _dag(part, layout, title, own, top)
        else:
            lines = [f"{name}: {choice}" for name, choice in own.items()] or ["AutoGAN's block, nothing is decided"]
            drawn, top = _box(title, lines, top)
        parts.append(drawn)
        side = out
    label = escape(f"{word} of genotype {genotype.genotype_id}")
    return (
        f'<svg class="graph" role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {top:.0f}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def _box(title: str, lines: list[str], top: float) -> tuple[str, float]:
    """Returns a box of text lines, three side by side, and where the next cell begins."""
    rows = -(-len(lines) // 3)
    body = "".join(
        _text(LEFT + (WIDTH - LEFT) / 3 * (index % 3), top + 44 + ROW * (index // 3), line, "start")
        for index, line in enumerate(lines)
    )
    return _frame(title, top, 34 + ROW * rows) + body, top + 34 + ROW * rows + 14


def _dag(part: DagPart, layout: CellLayout, title: str, choices: Mapping[str, str], top: float) -> tuple[str, float]:
    """Returns one DAG cell, and where the next cell begins."""
    nodes = [INPUT, *part.cell.order]
    step = min(COLUMN, (WIDTH - 2 * LEFT - 20) / max(1, len(nodes) - 1))
    across = {node: LEFT + 14 + index * step for index, node in enumerate(nodes)}
    arrows = list(_arrows(part, layout, choices))
    cut = len(_cut(part, layout, choices))
    height = HEAD + ROW * max(1, len(arrows)) + 8
    parts = [_frame(title + (f", {cut} without connection" if cut else ""), top, height)]
    for node, x in across.items():
        name = f"{node} (out)" if node == part.cell.output and node != "out" else node
        parts.append(_text(x, top + 38, name, "middle", "node"))
        parts.append(f'<line class="node" x1="{x:.0f}" x2="{x:.0f}" y1="{top + 44:.0f}" y2="{top + height - 6:.0f}"/>')
    for index, (source, target, label) in enumerate(arrows):
        y = top + HEAD + ROW * index + 18
        start, end = across.get(source, 6.0), across[target]
        parts.append(f'<line class="edge" x1="{start:.0f}" x2="{end - 7:.0f}" y1="{y:.0f}" y2="{y:.0f}"/>')
        tip = f"{end:.0f},{y:.0f} {end - 8:.0f},{y - 4:.0f} {end - 8:.0f},{y + 4:.0f}"
        parts.append(
            f'<polygon class="tip" points="{tip}"/><circle class="tip" cx="{start:.0f}" cy="{y:.0f}" r="2.5"/>'
        )
        parts.append(_text((start + end) / 2, y - 4, label, "middle"))
    return "".join(parts), top + height + 14


def _arrows(part: DagPart, layout: CellLayout, choices: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yields (source, target, operation) of the edges that carry something; skips come from outside the cell."""
    cut = _cut(part, layout, choices)
    for edge in part.edges(layout):
        if edge.name not in cut:
            yield edge.source, edge.target, "as it is" if edge.choices == PLAIN else choices[edge.name]
    cell = part.cell
    if cell.skip_in is None:
        return
    for earlier in range(1, layout.number):
        mode = cell.skip_modes[(layout.number - 1) % len(cell.skip_modes)]
        if f"skip{earlier}" not in cut:
            choice = choices[f"skip{earlier}"] if cell.skip_choices else mode
            yield f"cell{earlier}", cell.skip_in, f"cell{earlier}: {choice}"


def _cut(part: DagPart, layout: CellLayout, choices: Mapping[str, str]) -> set[str]:
    """Returns the decisions of a cell that choose "no connection"."""
    return {d.name for d in part.decided(layout) if choices[d.name] == d.no_connection}


def _frame(title: str, top: float, height: float) -> str:
    return f'<rect class="cell" x="1" y="{top + 1:.0f}" width="{WIDTH - 2}" height="{height:.0f}" rx="6"/>' + _text(
        10, top + 18, title, "start", "title"
    )


def _text(x: float, y: float, text: str, anchor: str, kind: str = "label") -> str:
    return f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'
