"""The forward passes of cells and mixed operations in the fast form.

They compute what :mod:`autogan_ray.nets.dag_cell` and :mod:`autogan_ray.nets.mixed_op` say, in this order: the
parameters that architecture weights multiply, for all cells of a network together; then, cell by cell, as soon as a
node is there, all that reads it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from autogan_ray.nets.block_cell import FixedBlock
from autogan_ray.nets.dag_cell import DagCell
from autogan_ray.nets.fast.grouping import ArchitectureWeights, CellPlan, MixedEdge, WeightedParameters
from autogan_ray.nets.fast.operation import SplitOperation, straight_through
from autogan_ray.nets.fast.shared_input import NodeInputs, RunningSum, SharedInput
from autogan_ray.nets.fast.spectral_norms import computed_together
from autogan_ray.nets.fast.weighted_kernels import NetworkWeighting
from autogan_ray.nets.gan import Cells, Discriminator, Generator
from autogan_ray.nets.mixed_op import MixedOp, Nested
from autogan_ray.nets.relaxation import Selection, auxiliary_weight
from autogan_ray.nets.spectral import is_spectral
from autogan_ray.spaces.dag import INPUT, Edge

PlanKey = tuple[tuple[str, tuple[int, ...]], ...]
"""What the plan of a cell follows from: (edge, numbers of the choices that are computed) of its mixtures."""


class FastCells:
    """Prepares the cells of one network for its forward passes; see :class:`~autogan_ray.nets.gan.PreparesCells`.

    It keeps how their parameters are weighted, which is the same each time until choices are dropped.
    """

    def __init__(self, network: Generator | Discriminator) -> None:
        self._network = network
        self._cells = [FastDagCell(cell) if isinstance(cell, DagCell) else cell for cell in network.cells]
        fixed = [module for cell in network.cells if isinstance(cell, FixedBlock) for module in cell.modules()]
        head = [network.head] if isinstance(network, Discriminator) else []
        self._fixed = tuple(filter(is_spectral, [*fixed, *head]))
        self._weightings: dict[tuple[PlanKey, ...], NetworkWeighting] = {}
        self._derived: dict[int, tuple[Cells, list[nn.Module]]] = {}

    @contextmanager
    def __call__(self, selection: Selection, running: int | None = None) -> Iterator[Cells]:
        cells, spectral = self._prepared(self._cells[:running], selection)
        with computed_together([*spectral, *self._fixed]):
            yield cells

    def _prepared(self, cells: Sequence[Any], selection: Selection) -> tuple[Cells, list[nn.Module]]:
        """The cells as functions, and the layers with spectral norm that they call, each once."""
        if not selection and len(cells) in self._derived:
            return self._derived[len(cells)]
        passes = [cell.cell_pass(selection) for cell in cells if isinstance(cell, FastDagCell)]
        key = tuple(cell_pass.key for cell_pass in passes)
        if key not in self._weightings:
            self._weightings[key] = NetworkWeighting.of([cell_pass.plan for cell_pass in passes])
        weights = [cell_pass.weights for cell_pass in passes]
        parameters = iter(self._weightings[key].weighted(weights, self._network.precision))
        ready = iter([partial(cell_pass.cell.forward, cell_pass, next(parameters)) for cell_pass in passes])
        prepared = [next(ready) if isinstance(cell, FastDagCell) else cell for cell in cells]
        spectral = list(itertools.chain(*(cell_pass.spectral for cell_pass in passes)))
        if not selection:  # a derived network: it is the same each time, for as many cells as run
            self._derived[len(cells)] = prepared, spectral
        return prepared, spectral


class CellPass(NamedTuple):
    """What a selection makes of a cell.

    Args:
        edges: the live edges.
        weights: the architecture weights of those that are mixtures.
        spectral: the layers with spectral norm that will be called, each once.
    """

    cell: FastDagCell
    edges: Sequence[Edge]
    key: PlanKey
    plan: CellPlan
    weights: ArchitectureWeights
    spectral: Sequence[nn.Module]


class FastDagCell:
    """The fast form of a cell whose edges are mixed operations."""

    def __init__(self, cell: DagCell) -> None:
        self._cell = cell
        self._ops = {name: FastMixedOp(op) for name, op in cell.edges.items() if isinstance(op, MixedOp)}
        self._outputs = {cell.output, cell.skip_out}
        self._plans: dict[PlanKey, CellPlan] = {}

    def cell_pass(self, selection: Selection) -> CellPass:
        """All that ``forward`` needs but the weighted parameters, which are computed for all cells together."""
        edges = self._cell.live_edges(selection)
        ops = {edge.name: self._ops[edge.name] for edge in edges if edge.name in self._ops}
        single = {name: op.single(selection) for name, op in ops.items()}
        mixed = [edge for edge in edges if edge.name in ops and single[edge.name] is None]
        key = tuple((edge.name, ops[edge.name].numbers(selection)) for edge in mixed)
        if key not in self._plans:
            mixtures = [
                MixedEdge(edge.name, edge.source, edge.target, ops[edge.name].operations(selection)) for edge in mixed
            ]
            self._plans[key] = CellPlan.of(mixtures, (INPUT, *self._cell.order))
        plan = self._plans[key]
        weights = {edge.name: ops[edge.name].weights(selection) for edge in mixed}
        called = [layer for name, op in ops.items() for layer in op.spectral_layers(single[name])]
        return CellPass(self, edges, key, plan, weights, [*plan.spectral, *called])

    def forward(
        self,
        cell_pass: CellPass,
        parameters: WeightedParameters,
        x: Tensor,
        skips: Sequence[Tensor],
        selection: Selection,
    ) -> tuple[Tensor, Tensor]:
        """(output, skip output), as :meth:`autogan_ray.nets.dag_cell.DagCell.forward`."""
        cell, plan = self._cell, cell_pass.plan
        nodes, sums = NodeInputs({INPUT: SharedInput(x)}), {node: RunningSum() for node in cell.order}
        for node in (INPUT, *cell.order):
            if node != INPUT:
                if node == cell.skip_in:
                    for term in cell.from_earlier_cells(skips, x, selection):
                        sums[node].add(term)
                value = sums.pop(node).value
                nodes[node] = SharedInput(cell.zeros(x, node) if value is None else value)
            plan.steps[node].add_to(sums, nodes, parameters)
            for edge in cell_pass.edges:
                if edge.source == node:
                    self._add_along(edge, sums[edge.target], nodes[node], selection, edge.name in parameters.weights)
            nodes.keep(self._outputs | plan.awaited[node])
        return nodes[cell.output].value, nodes[cell.skip_out].value

    def _add_along(self, edge: Edge, total: RunningSum, shared: SharedInput, selection: Selection, mixed: bool) -> None:
        """Adds what the edge carries; where it is ``mixed``, only what the plan of the cell does not compute."""
        if edge.name not in self._ops:
            total.add(shared.value)
        elif mixed:
            self._ops[edge.name].add_auxiliary(total, shared, selection)
        else:
            self._ops[edge.name].add_to(total, shared, selection)


class FastMixedOp:
    """The fast form of a mixed operation by itself."""

    def __init__(self, op: MixedOp) -> None:
        self._op = op
        self._operations = {choice: SplitOperation.of(module) for choice, module in op.choices.items()}
        self._spectral = {choice: tuple(filter(is_spectral, m.modules())) for choice, m in op.choices.items()}
        self._nested = any(isinstance(module, Nested) for module in op.choices.values())
        self._plans: dict[tuple[int, ...], tuple[CellPlan, NetworkWeighting]] = {}

    def __call__(self, x: Tensor, selection: Selection) -> Tensor:
        """As :meth:`autogan_ray.nets.mixed_op.MixedOp.plain`."""
        if self._nested:
            return self._nested_output(x, selection)
        total = RunningSum()
        self.add_to(total, SharedInput(x), selection)
        return torch.zeros_like(x) if total.value is None else total.value

    def add_to(self, total: RunningSum, shared: SharedInput, selection: Selection) -> None:
        """Adds the output; of the choice "no connection" in a mixture nothing."""
        single = self.single(selection)
        if single is not None:
            choice, scale = single
            output = self._operations[choice](shared)
            total.add(output if scale is None else straight_through(output, scale))
            return
        numbers = self.numbers(selection)
        if numbers not in self._plans:
            plan = CellPlan.of([MixedEdge("", "in", "out", self.operations(selection))], ["in", "out"])
            self._plans[numbers] = plan, NetworkWeighting.of([plan])
        plan, weighting = self._plans[numbers]
        (parameters,) = weighting.weighted([{"": self.weights(selection)}], None)
        plan.steps["in"].add_to({"out": total}, NodeInputs({"in": shared}), parameters)
        self.add_auxiliary(total, shared, selection)

    def add_auxiliary(self, total: RunningSum, shared: SharedInput, selection: Selection) -> None:
        """Adds a mixture's auxiliary skip, where it has one."""
        b = auxiliary_weight(selection, self._op.decision)
        if b:
            total.add(b * shared.value, fresh=True)

    def single(self, selection: Selection) -> tuple[str, Tensor | None] | None:
        """The single choice that runs, with its scale; None for a mixture."""
        return self._op.single_choice(selection)

    def numbers(self, selection: Selection) -> tuple[int, ...]:
        """The numbers of the choices that a mixture computes."""
        return tuple(number for number, _ in self._op.mixed(selection))

    def operations(self, selection: Selection) -> tuple[tuple[int, SplitOperation], ...]:
        """Number and operation of the choices that a mixture computes."""
        return tuple((number, self._operations[choice]) for number, choice in self._op.mixed(selection))

    def weights(self, selection: Selection) -> Sequence[Tensor]:
        """The architecture weights of a mixture, 0-dim each."""
        weights = selection[self._op.decision.name]
        assert isinstance(weights, Tensor)
        return weights.unbind()

    def spectral_layers(self, single: tuple[str, Tensor | None] | None) -> tuple[nn.Module, ...]:
        """The layers with spectral norm of a single choice; of a mixture none, as its plan names them."""
        return () if single is None else self._spectral[single[0]]

    def _nested_output(self, x: Tensor, selection: Selection) -> Tensor:
        """Of choices that hold mixed operations themselves, which are computed in their own fast form."""
        single = self.single(selection)
        if single is None or single[1] is None:
            return self._op.plain(x, selection)
        return straight_through(self._op.call(single[0], x, selection), single[1])
