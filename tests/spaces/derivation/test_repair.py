"""Derivation: for any logits a connected genotype, the argmax where that is one, and else the fewest changes."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autogan_ray.spaces.dag import DagPart
from autogan_ray.spaces.derivation.derive import derive
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.sizes import CellLayout
from autogan_ray.spaces.space import SearchSpace

NAMES = ("adversarialnas", "alphagan/eagan", "autogan/adversarialnas", "adversarialnas/eagan", "handmade", "modern")
Shares = dict[str, dict[str, float]]


def dag_cells(space: SearchSpace) -> Iterator[tuple[str, DagPart, CellLayout]]:
    for network, part in space.networks.items():
        if isinstance(part, DagPart):
            for layout in part.layout(32):
                if not layout.fixed:
                    yield layout.lead(network), part, layout


def holds(part: DagPart, layout: CellLayout, lead: str, empty: set[str]) -> bool:
    """Whether a cell works when the edges named in ``empty`` are gone: reachability, written anew for this test."""
    arrows = [(edge.source, edge.target) for edge in part.edges(layout) if lead + edge.name not in empty]
    live = {"in"}
    while True:
        more = {target for source, target in arrows if source in live} - live
        if not more:
            break
        live |= more
    wanted = {*part.cell.required, part.cell.output, *(source for source, _ in arrows)}
    return wanted <= live


def probabilities(logits: Mapping[str, Mapping[str, float]]) -> Shares:
    found: Shares = {}
    for name, row in logits.items():
        top = max(row.values())
        powers = {choice: math.exp(value - top) for choice, value in row.items()}
        found[name] = {choice: power / sum(powers.values()) for choice, power in powers.items()}
    return found


def drawn(space: SearchSpace, seed: int, lean: float) -> Shares:
    rng = random.Random(seed)
    return probabilities(
        {
            decision.name: {
                choice: rng.gauss(lean if choice == "none" else 0.0, 1.0 + abs(lean)) for choice in decision.choices
            }
            for decision in space.decisions(32)
        }
    )


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(NAMES), st.sampled_from([-2.0, 0.0, 1.0, 3.0, 30.0]))
def test_any_logits_give_a_legal_genotype_by_the_fewest_changes(seed: int, name: str, lean: float) -> None:
    space = load_space(name)
    shares = drawn(space, seed, lean)
    choices = derive(space, shares, 32)
    assert list(choices) == list(shares)
    space.check(space.genotype(choices, 32))
    argmax = {decision: max(row, key=row.__getitem__) for decision, row in shares.items()}
    changed = {decision for decision in choices if choices[decision] != argmax[decision]}
    for lead, part, layout in dag_cells(space):
        names = {lead + own.name for own in part.decided(layout)}
        empty = {decision for decision in names if argmax[decision] == "none"}
        here = changed & names
        assert here <= empty, "only an empty edge may be filled"
        assert bool(here) != holds(part, layout, lead, empty), "repaired if and only if it was broken"
        for count in range(len(here)):
            for filled in itertools.combinations(sorted(empty), count):
                assert not holds(part, layout, lead, empty - set(filled)), f"{filled} would have been enough"
        for decision in here:
            rest = {choice: p for choice, p in shares[decision].items() if choice != "none"}
            assert rest[choices[decision]] == max(rest.values()), "filled with the likeliest operation"
    outside = changed - {lead + own.name for lead, part, layout in dag_cells(space) for own in part.decided(layout)}
    assert not outside


@pytest.mark.parametrize("name", NAMES)
def test_equal_logits_and_certain_ones_are_no_exception(name: str) -> None:
    space = load_space(name)
    flat = {d.name: dict.fromkeys(d.choices, 1 / len(d.choices)) for d in space.decisions(32)}
    space.check(space.genotype(derive(space, flat, 32), 32))
    for index in (0, -1):
        sure = {d.name: {c: float(c == d.choices[index]) for c in d.choices} for d in space.decisions(32)}
        space.check(space.genotype(derive(space, sure, 32), 32))
