"""The cell that is a directed acyclic graph: a node is the sum of its edges, an edge is a mixed operation.

            in                 With the edges e0: in -> a, e1: in -> out, e2: a -> out
          /    \\
     e0  v      v  e1               a = e0(in)
         a ---> out               out = e1(in) + e2(a)
            e2

The cell serves the supernet and the derived network alike; only its mixed operations differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn
from torch.nn import functional

from autogan_ray.nets.mixed_op import MixedOp, MixedOpBuilder, total
from autogan_ray.nets.ops import OpSpec, Repeated, build_op, conv
from autogan_ray.nets.relaxation import Selection
from autogan_ray.spaces.dag import INPUT, PLAIN, DagPart, Edge
from autogan_ray.spaces.sizes import CellLayout


class DagCell(nn.Module):
    """One cell of a :class:`~autogan_ray.spaces.dag.DagPart`.

    Args:
        network: ``g`` or ``d``: the first part of the names of the cell's decisions.
        layout: which cell it is, as the first may have other edges, and what it does to the image side.
        c_in, c_out: channels of the input and of every node.
        norm: of the operations: ``none``, ``batch`` or ``spectral``.
    """

    def __init__(
        self, part: DagPart, network: str, layout: CellLayout, c_in: int, c_out: int, norm: str, ops: MixedOpBuilder
    ) -> None:
        super().__init__()
        cell, lead = part.cell, f"{network}.cell{layout.number}"
        self.order = cell.order
        self.output, self.skip_in, self.skip_out = cell.output, cell.skip_in, cell.skip_out or cell.output
        self._c_out, self._graph, self._levels = c_out, part.edges(layout), part.levels(layout)
        self._resize = cell.skip_modes[(layout.number - 1) % len(cell.skip_modes)]
        self.edges = nn.ModuleDict()
        for edge in self._graph:
            spec = OpSpec(c_in if edge.source == INPUT else c_out, c_out, norm, edge.activation, ops.derived)
            if edge.choices != PLAIN:
                self.edges[edge.name] = ops.build(f"{lead}.{edge.name}", partial(build_op, spec=spec))
        # One module for each skip: that of the earlier cell k, whose output is (number - k) doublings smaller.
        self.skips = nn.ModuleList()
        for earlier in range(1, layout.number) if cell.skip_in is not None else ():
            if cell.skip_choices is None:
                self.skips.append(conv(c_out, c_out, 1, spec_norm=False))
            else:
                build = partial(_repeated, times=layout.number - earlier, spec=OpSpec(c_out, c_out, norm))
                self.skips.append(ops.build(f"{lead}.skip{earlier}", build))

    def forward(self, x: Tensor, skips: Sequence[Tensor], selection: Selection) -> tuple[Tensor, Tensor]:
        """(output, skip output), both [B, c_out, H, W] at the cell's output size.

        Args:
            x: [B, c_in, H', W'].
            skips: the skip outputs of the earlier cells.
        """
        nodes, edges = {INPUT: x}, self.live_edges(selection)
        for node in self.order:
            terms = [self.along(edge, nodes[edge.source], selection) for edge in edges if edge.target == node]
            if node == self.skip_in:
                terms += self.from_earlier_cells(skips, x, selection)
            nodes[node] = total(terms) if terms else self.zeros(x, node)
        return nodes[self.output], nodes[self.skip_out]

    def along(self, edge: Edge, x: Tensor, selection: Selection) -> Tensor:
        """What the edge makes of its source's value."""
        op = self.mixed_op(edge)
        return x if op is None else op(x, selection)

    def from_earlier_cells(self, skips: Sequence[Tensor], x: Tensor, selection: Selection) -> list[Tensor]:
        """The earlier cells' skip outputs at the size of the node ``skip_in``: as decided, or resized and convolved."""
        if not skips:
            return []
        assert self.skip_in is not None
        side = self.side(x, self.skip_in)
        return [
            module(skip, selection) if isinstance(module, MixedOp) else module(resized(skip, side, self._resize))
            for skip, module in zip(skips, self.skips, strict=True)
        ]

    def live_edges(self, selection: Selection) -> list[Edge]:
        """The edges that are computed: those that are a connection, and whose target is read on the way to an output.

        An edge into a node that nobody reads adds nothing to any output, so it runs neither here nor on paper.
        """
        ops = [(edge, self.mixed_op(edge)) for edge in self._graph]
        connecting = [edge for edge, op in ops if op is None or op.connects(selection)]
        read = {self.output, self.skip_out}
        for node in reversed(self.order):
            if node in read:
                read.update(edge.source for edge in connecting if edge.target == node)
        return [edge for edge in connecting if edge.target in read]

    def mixed_op(self, edge: Edge) -> MixedOp | None:
        """The mixed operation of an edge; None for an edge that hands its node on as it is."""
        if edge.choices == PLAIN:
            return None
        op = self.edges[edge.name]
        assert isinstance(op, MixedOp)
        return op

    def side(self, x: Tensor, node: str) -> int:
        """Side in pixels of a node's value where the cell's input is ``x``."""
        level = self._levels[node]
        return x.shape[-1] * 2**level if level >= 0 else x.shape[-1] // 2**-level

    def zeros(self, x: Tensor, node: str) -> Tensor:
        """The value of a node that no edge leads to."""
        return x.new_zeros(x.shape[0], self._c_out, self.side(x, node), self.side(x, node))


def _repeated(name: str, times: int, spec: OpSpec) -> nn.Module:
    return Repeated(build_op(name, spec), times)


def resized(x: Tensor, side: int, mode: str) -> Tensor:
    """[B, C, H, W] -> [B, C, side, side]. Args: mode: ``nearest`` or ``bilinear``."""
    return functional.interpolate(x, size=(side, side), mode=mode, align_corners=None if mode == "nearest" else False)
