"""Derivation under rules: each rule holds for any logits, and the limited network is the most probable one there is."""

from __future__ import annotations

import functools
import itertools
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autogan_ray.config.study import load_study_config
from autogan_ray.spaces.derivation.cell_labels import CellRules, When, labels_of_cells
from autogan_ray.spaces.derivation.derive import (
    NO_RULES,
    Limit,
    Rules,
    candidates,
    derive,
    most_probable,
    obeys,
    smallest,
)
from autogan_ray.spaces.derivation.frontier import Label, best, frontier, joined
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.published import all_published
from autogan_ray.spaces.space import SearchSpace

NAMES = ("adversarialnas", "alphagan/eagan", "autogan/adversarialnas", "handmade", "modern")
ALL = ("adversarialnas", "alphagan", "autogan", "autogan/eagan", "autogan/fixed", "handmade", "modern")
"""Every shipped part stands in one of them."""
LEANS = st.sampled_from([-3.0, 0.0, 3.0])
Shares = dict[str, dict[str, float]]


def softmax(logits: dict[str, float]) -> dict[str, float]:
    top = max(logits.values())
    powers = {choice: math.exp(value - top) for choice, value in logits.items()}
    return {choice: power / sum(powers.values()) for choice, power in powers.items()}


def drawn(space: SearchSpace, size: int, seed: int, lean_none: float = 0.0, lean_skip: float = 0.0) -> Shares:
    rng = random.Random(seed)
    lean = {"none": lean_none, "skip": lean_skip}
    return {d.name: softmax({c: rng.gauss(lean.get(c, 0.0), 1.5) for c in d.choices}) for d in space.decisions(size)}


def is_edge(name: str) -> bool:
    """Whether a decision of a shipped space is an edge of a DAG: those of AutoGAN's blocks are known by their names."""
    return name.rsplit(".", 1)[1] not in ("conv", "norm", "up", "shortcut", "skip1", "skip2", "network")


def skips_by_cell(choices: dict[str, str]) -> Counter[str]:
    return Counter(name.rsplit(".", 1)[0] for name, choice in choices.items() if choice == "skip")


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(NAMES), LEANS, LEANS, st.booleans(), st.integers(0, 3), st.integers(0, 3))
def test_rules_hold_for_any_logits_and_the_genotype_is_legal(
    seed: int, name: str, lean_none: float, lean_skip: float, exclude: bool, most_g: int, most_d: int
) -> None:
    space = load_space(name)
    shares = drawn(space, 32, seed, lean_none, lean_skip)
    choices = derive(space, shares, 32, Rules(exclude, {"g": most_g, "d": most_d}))
    space.check(space.genotype(choices, 32))
    assert not exclude or all(choices[d.name] != "none" for d in space.decisions(32) if is_edge(d.name))
    for cell, count in skips_by_cell(choices).items():
        assert count <= {"g": most_g, "d": most_d}[cell[0]], cell


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(ALL), st.sampled_from([8, 32]))
def test_excluding_none_takes_no_choice_but_no_connection_and_takes_it_from_every_edge(
    seed: int, name: str, size: int
) -> None:
    space = load_space(name)
    shares = drawn(space, size, seed, lean_none=1.0)
    allowed = Rules(exclude_none=True).allowed(shares, space.decisions(size))
    for decision, row in shares.items():
        lost = {"none"} & row.keys() if is_edge(decision) else set()
        assert allowed[decision] == {choice: p for choice, p in row.items() if choice not in lost}, decision
    choices = derive(space, shares, size, Rules(exclude_none=True))
    assert choices == {decision: max(row, key=row.__getitem__) for decision, row in allowed.items()}


def test_every_published_genotype_without_an_empty_edge_can_be_derived_without_none() -> None:
    derived = []
    for published in all_published():
        genotype, space = published.genotype, load_space(published.genotype.space)
        if any(choice == "none" for name, choice in genotype.choices.items() if is_edge(name)):
            continue
        sure = {
            d.name: {choice: float(choice == genotype.choices[d.name]) for choice in d.choices}
            for d in space.decisions(genotype.image_size)
        }
        assert derive(space, sure, genotype.image_size, Rules(exclude_none=True)) == genotype.choices
        derived.append(published.name)
    assert "autogan-a" in derived


@pytest.mark.parametrize("space_name", load_study_config("digits").sweep["space"].choice or ())
def test_the_digits_study_can_derive_a_generator_without_normalisation(space_name: str) -> None:
    study = load_study_config("digits")
    space = load_space(str(space_name))
    shares = {d.name: softmax({c: 9.0 * (c == "none") for c in d.choices}) for d in space.decisions(8)}
    choices = derive(space, shares, 8, Rules(exclude_none=study.derive.exclude_none))
    assert {name for name, choice in choices.items() if choice == "none"} == {
        name for name in choices if name.endswith(".norm")
    }


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 4))
def test_the_least_probable_skips_give_way_to_their_next_likeliest_operation(seed: int, most: int) -> None:
    space = load_space("adversarialnas")
    shares = drawn(space, 32, seed, lean_skip=2.0)
    found = derive(space, shares, 32, Rules(exclude_none=True, most_skips={"g": most, "d": most}))
    ranked = {
        name: sorted((c for c in row if c != "none"), key=row.__getitem__, reverse=True) for name, row in shares.items()
    }
    likeliest = {name: choices[0] for name, choices in ranked.items()}
    for cell in {name.rsplit(".", 1)[0] for name in shares}:
        names = [name for name in shares if name.startswith(f"{cell}.")]
        skips = sorted((n for n in names if likeliest[n] == "skip"), key=lambda n: shares[n]["skip"], reverse=True)
        for name in names:
            assert found[name] == ranked[name][int(name in skips[most:])], name


# One doubling cell; n1 is needed but may be idle, side may be dead; an edge that cannot be none.
TINY = """
schema = 1
[generator]
kind = "dag"
[generator.choices]
up = ["nearest", "deconv_2x2"]
some = ["none", "skip", "conv_1x1", "conv_3x3"]
firm = ["skip", "conv_1x1"]
[generator.cell]
nodes = ["n0", "n1", "side", "out"]
output = "out"
required = ["n1"]
edges = [
    { name = "u0", from = "in", to = "n0", choices = "up" },
    { name = "a", from = "n0", to = "n1", choices = "some" },
    { name = "b", from = "n0", to = "side", choices = "some" },
    { name = "c", from = "side", to = "n1", choices = "firm" },
    { name = "d", from = "n1", to = "out", choices = "some" },
    { name = "e", from = "n0", to = "out", choices = "some" },
]
[discriminator]
kind = "autogan_fixed"
"""


@functools.cache
def tiny(text: str = TINY) -> SearchSpace:
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text)
        file.flush()
        return load_space(file.name)


COST = {"skip": 0, "none": 0, "nearest": 0, "conv_1x1": 3, "conv_3x3": 11, "deconv_2x2": 5}
BASE = 7


def prices(scale: int) -> dict[When, int]:
    """Made up; the second set is of other proportions, so that it pulls elsewhere."""
    found: dict[When, int] = {frozenset(): BASE}
    for index, decision in enumerate(tiny().decisions(4, "g")):
        for choice in decision.choices:
            found[frozenset({(decision.name, choice)})] = COST[choice] * (1 + scale * index)
    return found


PARAMS, MACS = prices(0), prices(3)


def cost(choices: dict[str, str], table: dict[When, int]) -> int:
    return BASE + sum(table[frozenset({pair})] for pair in choices.items() if pair[0].startswith("g."))


def running_cost(choices: dict[str, str]) -> int:
    """Edges into nodes that nobody reads cost nothing: found by walking back from the output."""
    edges = {f"g.cell1.{edge.name}": edge for edge in tiny().generator.cell.edges}  # type: ignore[union-attr]
    kept = {name for name in edges if choices[name] != "none"}
    read, grown = {"out"}, True
    while grown:
        more = {edges[name].source for name in kept if edges[name].target in read} - read
        read, grown = read | more, bool(more)
    return BASE + sum(MACS[frozenset({(name, choices[name])})] for name in kept if edges[name].target in read)


@functools.cache
def every() -> list[tuple[dict[str, str], int, int, int]]:
    """All connected genotypes of the tiny space: choices, parameters, MACs, skips."""
    decisions = tiny().decisions(4, "g")
    found = []
    for pick in itertools.product(*(decision.choices for decision in decisions)):
        choices = dict(zip((decision.name for decision in decisions), pick, strict=True))
        if not tiny().dead_ends(choices, 4):
            found.append((choices, cost(choices, PARAMS), running_cost(choices), list(pick).count("skip")))
    return found


def worth(choices: dict[str, str], shares: Shares) -> float:
    return sum(math.log(shares[name][choice]) for name, choice in choices.items())


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([-3.0, 0.0, 3.0]),
    st.none() | st.integers(BASE, 60),
    st.none() | st.integers(BASE, 500),
    st.none() | st.integers(0, 3),
    st.booleans(),
)
def test_the_limited_network_is_the_most_probable_within_the_limits_by_brute_force(
    seed: int, lean: float, params: int | None, macs: int | None, most: int | None, exclude: bool
) -> None:
    shares = drawn(tiny(), 4, seed, lean)
    limits = {
        ("g", quantity): Limit(value, table)
        for quantity, value, table in (("params", params, PARAMS), ("macs", macs, MACS))
        if value is not None
    }
    rules = Rules(exclude, {} if most is None else {"g": most}, limits)
    within = [
        choices
        for choices, own_params, own_macs, skips in every()
        if (params is None or own_params <= params)
        and (macs is None or own_macs <= macs)
        and (most is None or skips <= most)
        and not (exclude and "none" in choices.values())
    ]
    found = most_probable(tiny(), "g", rules.allowed(shares, tiny().decisions(4)), 4, rules)
    if not within:
        assert found is None
        with pytest.raises(ValueError, match="no connected network 'g' obeys"):
            derive(tiny(), shares, 4, rules)
        return
    assert found in within
    assert worth(found, shares) == pytest.approx(max(worth(one, shares) for one in within), abs=1e-9)
    assert all(obeys(tiny(), "g", choices, 4, rules) == (choices in within) for choices, *_ in every()[seed % 31 :: 31])
    if limits:
        assert derive(tiny(), shares, 4, rules) == found


@pytest.mark.parametrize("exclude", [False, True])
@pytest.mark.parametrize("most", [None, 1])
@pytest.mark.parametrize("quantity", ["params", "macs"])
def test_the_smallest_network_under_rules_is_that_of_brute_force(
    quantity: str, most: int | None, exclude: bool
) -> None:
    table, index = {"params": (PARAMS, 1), "macs": (MACS, 2)}[quantity]
    rules = Rules(exclude, {} if most is None else {"g": most}, {("g", quantity): Limit(math.inf, table)})
    wanted = min(
        one[index]
        for one in every()
        if (most is None or one[3] <= most) and not (exclude and "none" in one[0].values())
    )
    least = smallest(tiny(), "g", 4, rules, quantity)
    assert least is not None and least[0] == wanted
    assert (least[1], wanted) in [(row[0], row[index]) for row in every()]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 4), st.booleans())
def test_joined_cells_are_the_best_combination_by_brute_force(seed: int, cells: int, near: bool) -> None:
    rng = random.Random(seed)
    parts = [
        [
            Label(rng.gauss(0, 1e-3 if near else 2), rng.randrange(30), rng.randrange(30), 0, (f"p{p}", str(i)))
            for i in range(6)
        ]
        for p in range(cells)
    ]
    # In about a fifth of these no prices on the costs lead to the best combination: it has to be searched for.
    limits = (rng.randrange(5, 16) * cells, rng.choice([rng.randrange(5, 16) * cells] * 4 + [math.inf]))
    sums = [[sum(column) for column in list(zip(*pick, strict=True))[:3]] for pick in itertools.product(*parts)]
    within = [total for total, params, macs in sums if params <= limits[0] and macs <= limits[1]]
    found = best(parts, limits)
    assert (found is None) == (not within)
    if found is not None:
        assert found.worth == pytest.approx(max(within), abs=1e-9)
        taken = [parts[int(name[1:])][int(index)] for name, index in found.choices().items()]
        assert len(taken) == cells and found.params == sum(one.params for one in taken) <= limits[0]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 4)] * 4), max_size=25))
def test_a_frontier_keeps_what_nothing_else_makes_needless(rows: list[tuple[int, int, int, int]]) -> None:
    labels = [Label(*row, str(index)) for index, row in enumerate(rows)]
    kept = frontier(labels)

    def beaten(row: tuple[int, int, int, int]) -> bool:
        return any(o != row and o[0] >= row[0] and all(map(int.__le__, o[1:], row[1:])) for o in rows)

    wanted = {row for row in rows if not beaten(row)}
    assert sorted(one[:4] for one in kept) == sorted(wanted)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.0, 3.0]))
def test_where_skips_have_nothing_to_give_way_to_the_rest_of_the_cell_makes_room(seed: int, lean: float) -> None:
    firm = tiny(TINY.replace('firm = ["skip", "conv_1x1"]', 'firm = ["skip"]'))
    shares = drawn(firm, 4, seed, lean, 4.0)
    choices = derive(firm, shares, 4, Rules(most_skips={"g": 1}))
    firm.check(firm.genotype(choices, 4))
    assert list(choices.values()).count("skip") == 1 and choices["g.cell1.c"] == "skip"


def no_numbers(row: dict[str, float]) -> dict[str, float]:
    return dict.fromkeys(row, math.nan)


def one_sure(row: dict[str, float]) -> dict[str, float]:
    return {choice: float(choice == list(row)[-1]) for choice in row}


@pytest.mark.parametrize("change", [no_numbers, one_sure])
def test_probabilities_of_a_diverged_or_decided_search_still_give_a_network(
    change: Callable[[dict[str, float]], dict[str, float]],
) -> None:
    shares = {name: change(row) for name, row in drawn(tiny(), 4, 0).items()}
    for rules in (NO_RULES, Rules(most_skips={"g": 0}), Rules(limits={("g", "params"): Limit(30, PARAMS)})):
        choices = derive(tiny(), shares, 4, rules)
        assert obeys(tiny(), "g", choices, 4, rules)


def test_a_settled_network_is_taken_as_it_is_and_the_other_one_is_derived_by_the_rules() -> None:
    space, rules = load_space("adversarialnas"), Rules(exclude_none=True, most_skips={"g": 0, "d": 0})
    shares, settled = drawn(space, 8, 0), space.random(8, 0)
    choices = derive(space, shares, 8, rules, dict(settled.discriminator))
    assert "none" in dict(settled.discriminator).values()
    assert {name: choices[name] for name, _ in settled.discriminator} == dict(settled.discriminator)
    assert {name: choice for name, choice in derive(space, shares, 8, rules).items() if name[0] == "g"} == {
        name: choice for name, choice in choices.items() if name[0] == "g"
    }
    both = derive(space, shares, 8, rules, settled.choices)
    assert list(both) == list(shares) and both == settled.choices


def test_draws_follow_the_probabilities_of_the_networks_that_obey_the_rules() -> None:
    shares = drawn(tiny(), 4, 5)
    rules = Rules(most_skips={"g": 2}, limits={("g", "params"): Limit(45, PARAMS)})
    within = [one for one, params, _, skips in every() if params <= 45 and skips <= 2]
    masses = [math.exp(worth(one, shares)) for one in within]
    keys = [tuple(one.items()) for one in within]
    rng, count = random.Random(1), 400
    seen = Counter(tuple(candidates(tiny(), shares, 4, rules, 1, rng)[-1].items()) for _ in range(count))
    assert set(seen) <= set(keys)
    # The ten likeliest and all others: chi-square with 10 degrees of freedom lies above 29.6 once in a thousand runs.
    top = sorted(zip(masses, keys, strict=True), reverse=True)[:10]
    expected = [mass / sum(masses) * count for mass, _ in top]
    observed = [seen[key] for _, key in top]
    expected.append(count - sum(expected)), observed.append(count - sum(observed))
    assert sum((o - e) ** 2 / e for o, e in zip(observed, expected, strict=True)) < 29.6


def test_candidates_are_legal_distinct_and_begin_with_the_likeliest() -> None:
    space, rules = load_space("adversarialnas"), Rules(most_skips={"g": 1})
    shares = drawn(space, 8, 3, lean_none=1.0)
    found = candidates(space, shares, 8, rules, 12, random.Random(0))
    assert found[0] == derive(space, shares, 8, rules)
    assert 2 <= len(found) <= 13 and all(found.count(one) == 1 for one in found)
    for choices in found:
        space.check(space.genotype(choices, 8))
        assert all(count <= 1 for cell, count in skips_by_cell(choices).items() if cell.startswith("g."))
        assert {n: c for n, c in choices.items() if n[0] == "d"} == {n: c for n, c in found[0].items() if n[0] == "d"}
    assert found == candidates(space, shares, 8, rules, 12, random.Random(0))


def test_limits_that_almost_no_draw_meets_still_give_networks_within_them() -> None:
    least = min(params for _, params, *_ in every())
    rules = Rules(limits={("g", "params"): Limit(least, PARAMS)})
    shares = {name: softmax({c: 9.0 * (c == "conv_3x3") for c in row}) for name, row in drawn(tiny(), 4, 0).items()}
    for choices in candidates(tiny(), shares, 4, rules, 3, random.Random(0)):
        assert cost(choices, PARAMS) == least
    assert derive(tiny(), shares, 4, replace(rules, exclude_none=True))["g.cell1.a"] == "skip"


def test_where_no_draw_of_g_meets_its_limit_a_searched_d_does_not_matter() -> None:
    space = load_space("adversarialnas")
    cells = {d.name: d.no_connection for d in space.decisions(8, "g")}
    prices = {frozenset({(d.name, c)}): 1 for d in space.decisions(8, "g") for c in d.choices if c != cells[d.name]}
    tight = Rules(limits={("g", "params"): Limit(sum(cut is None for cut in cells.values()) + 4, prices)})
    shares = drawn(space, 8, 0, lean_none=-9.0)
    for choices in candidates(space, shares, 8, tight, 2, random.Random(0)):
        space.check(space.genotype(choices, 8))
        assert obeys(space, "g", {name: c for name, c in choices.items() if name[0] == "g"}, 8, tight)


def test_the_worked_example_of_the_frontiers_of_three_edges() -> None:
    def edge(name: str, skip: float, conv: float) -> list[Label]:
        return [Label(skip, 0, 0, 0, (name, "skip")), Label(conv, 0, 5, 0, (name, "conv"))]

    edges = [edge("e0", -2.0, -1.0), edge("e1", -1.0, -3.0), edge("e2", -4.0, -1.0)]
    assert [label.choices() for label in frontier(edges[1])] == [{"e1": "skip"}]
    both = joined(edges[0], edges[1])
    assert [(label.worth, label.macs) for label in both] == [(-2, 5), (-3, 0)]
    assert [(label.worth, label.macs) for label in joined(both, edges[2])] == [(-3, 10), (-4, 5), (-7, 0)]
    within = best(edges, (math.inf, 7))
    assert within is not None and within.choices() == {"e0": "skip", "e1": "skip", "e2": "conv"}


def test_the_worked_example_of_the_labels_of_a_cell_of_three_edges() -> None:
    cell = {
        "nodes": ["up", "a", "out"],
        "output": "out",
        "edges": [
            {"name": "u0", "from": "in", "to": "up", "choices": "double"},
            {"name": "e0", "from": "up", "to": "a", "choices": "some"},
            {"name": "e1", "from": "a", "to": "out", "choices": "some"},
            {"name": "e2", "from": "up", "to": "out", "choices": "firm"},
        ],
    }
    lists = {"double": ["nearest"], "some": ["none", "conv_3x3"], "firm": ["skip", "conv_3x3"]}
    generator = {"kind": "dag", "choices": lists, "cell": cell}
    values = {"name": "example", "generator": generator, "discriminator": {"kind": "autogan_fixed"}}
    probabilities = {"e0": (0.4, 0.6), "e1": (0.7, 0.3), "e2": (0.2, 0.8), "u0": (1.0,)}
    space = SearchSpace.from_dict(values)
    decisions = space.decisions(4, "g")
    rows = {d.name: dict(zip(d.choices, probabilities[d.name[-2:]], strict=True)) for d in decisions}
    macs = {frozenset({(d.name, "conv_3x3")}): 5 for d in decisions}
    labels = labels_of_cells(space, "g", 4, CellRules(rows, {}, macs))[0]
    assert [(round(math.exp(label.worth), 3), label.macs) for label in labels] == [(0.336, 5), (0.084, 0)]
