"""Which mixtures of a cell are computed together: edges that lead from the same nodes to the same nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from autogan_ray.nets.fast.branch import Branch
from autogan_ray.nets.fast.merged import Group, Kind, Member, Mixture, kinds_of
from autogan_ray.nets.fast.tap import Tap, Taps
from autogan_ray.nets.fast.total import Total
from autogan_ray.nets.spectral import is_spectral


class Arrow(NamedTuple):
    """An edge whose choices are mixed. Args: branches: (number among the decision's choices, branch)."""

    name: str
    source: str
    target: str
    branches: tuple[tuple[int, Branch], ...]


@dataclass(frozen=True, eq=False)
class Bundle:
    """Groups that lead from each of ``sources`` to each of ``targets``."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    groups: tuple[Group, ...]

    def onto(self, totals: Mapping[str, Total], tap: Tap, mixture: Mixture) -> None:
        """Adds to the targets' sums. Args: tap: the sources side by side, in their order."""
        whole, count = Total(), len(self.targets)
        for group in self.groups:
            group.onto(whole, tap, mixture)
        x = whole.value
        assert x is not None
        if count == 1:
            totals[self.targets[0]].add(x, fresh=True)
            return
        # Nobody reads the whole of which these are parts, so they could be written to; but a part lies apart in memory,
        # and whole tensors are faster to add to.
        for target, part in zip(self.targets, torch.unsafe_split(x, x.shape[1] // count, dim=1), strict=True):
            totals[target].add(part)


@dataclass(frozen=True, eq=False)
class Step:
    """What can be computed once a node is there. Args: alone: branches that belong to no group."""

    bundles: tuple[Bundle, ...]
    alone: tuple[tuple[Arrow, int, Branch], ...]

    def onto(self, totals: Mapping[str, Total], taps: Taps, mixture: Mixture) -> None:
        """Adds to the sums of the nodes that it leads to."""
        for bundle in self.bundles:
            bundle.onto(totals, taps.joined(bundle.sources), mixture)
        for arrow, number, branch in self.alone:
            share, affine = mixture.shares[arrow.name][number], mixture.affines.get((arrow.name, number))
            branch.onto(totals[arrow.target], taps[arrow.source], share, affine)


@dataclass(frozen=True, eq=False)
class Plan:
    """How the mixtures of a cell are computed.

    Neither making nor looking up a plan breaks a graph of torch.compile, which is why it is plain tuples and dicts.

    Args:
        steps: node -> what it was the last to be waited for.
        awaited: node -> those up to it that are read again when a later one is there.
        groups: of all steps, by their numbers.
        alone: all other choices: (edge, number, branch).
        normed: layers with spectral norm that belong to no group.
    """

    steps: Mapping[str, Step]
    awaited: Mapping[str, frozenset[str]]
    groups: tuple[Group, ...]
    alone: tuple[tuple[str, int, Branch], ...]
    normed: tuple[nn.Module, ...]

    @classmethod
    def of(cls, arrows: Sequence[Arrow], order: Sequence[str]) -> Plan:
        """Args: order: of the nodes, each behind those it depends on."""
        alone: list[tuple[Arrow, int, Branch]] = []
        kinds: dict[Kind, list[Member]] = {}
        for arrow in arrows:
            single = []
            for number, branch in arrow.branches:
                layer = branch.layers[0] if len(branch.layers) == 1 else None
                if isinstance(layer, nn.Conv2d) and layer.groups == 1:
                    single.append(Member(arrow.name, arrow.source, arrow.target, number, branch.lead, layer))
                else:
                    alone.append((arrow, number, branch))
            for kind, member in kinds_of(single):
                kinds.setdefault(kind, []).append(member)
        bundles = _bundled(kinds, order)
        steps = {
            node: Step(
                tuple(bundle for bundle in bundles if bundle.sources[-1] == node),
                tuple(one for one in alone if one[0].source == node),
            )
            for node in order
        }
        awaited = {
            node: frozenset(
                source
                for bundle in bundles
                if order.index(bundle.sources[-1]) > number
                for source in bundle.sources
                if order.index(source) <= number
            )
            for number, node in enumerate(order)
        }
        groups = [group for bundle in bundles for group in bundle.groups]
        layers = [module for *_, branch in alone for layer in branch.layers for module in layer.modules()]
        ordered = sorted(groups, key=lambda group: group.number)
        named = tuple((arrow.name, number, branch) for arrow, number, branch in alone)
        return cls(steps, awaited, tuple(ordered), named, tuple(filter(is_spectral, layers)))


def _bundled(kinds: Mapping[Kind, Sequence[Member]], order: Sequence[str]) -> list[Bundle]:
    found: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Group]] = {}
    number = 0
    for kind, members in kinds.items():
        for sources, targets in _bipartite(members, order):
            inside = [member for member in members if member.source in sources]
            found.setdefault((sources, targets), []).append(Group.of(kind, number, sources, targets, inside))
            number += 1
    return [Bundle(*ends, tuple(groups)) for ends, groups in found.items()]


def _bipartite(members: Sequence[Member], order: Sequence[str]) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """(sources, targets) so that each of the ones has a member into each of the others: no kernel has an empty block.

    Sources that lead to the same targets belong together.
    """
    reached: dict[tuple[str, ...], list[str]] = {}
    for source in order:
        ends = {member.target for member in members if member.source == source}
        if ends:
            reached.setdefault(tuple(node for node in order if node in ends), []).append(source)
    yield from ((tuple(sources), targets) for targets, sources in reached.items())
