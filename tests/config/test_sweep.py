"""Sweeps: every proposal of a study that is accepted is a legal trial, however the file orders its settings."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.methods import METHODS
from autogan_ray.config.rules import RULES, long_enough
from autogan_ray.config.sections import TrialSections
from autogan_ray.config.study import StudyConfig, TrialConfig, load_study_config, sweepable
from autogan_ray.config.sweep import Domain, corners, in_order

BOTH = (True, False)
CHOICES: dict[str, tuple[Any, ...]] = {
    "search.method": tuple(METHODS),
    "search.relaxation": ("softmax", "gumbel", "gumbel_hard"),
    "search.unrolled": BOTH,
    "search.search_d": BOTH,
    "compute.compile": BOTH,
    "derive.exclude_none": BOTH,
    "derive.perturbation": BOTH,
    "derive.samples": (0, 2, 4),
    "derive.tune_steps": (0, 3),
    "remedies.auxiliary_skip": (0.0, 1.0),
    "remedies.entropy_weight": (0.0, 0.1),
    "remedies.zero_one_weight": (0.0, 0.5, 1.0),
    "remedies.cost_weight_d": (0.0, 0.2),
    "search.temperature_start": (0.5, 1.0, 5.0),
    "search.temperature_end": (0.1, 0.7, 2.0),
}
RANGES: dict[str, dict[str, Any]] = {
    "search.temperature_start": {"uniform": [0.5, 5.0]},
    "search.temperature_end": {"loguniform": [0.1, 2.0]},
    "search.warmup": {"uniform": [0.0, 0.9]},
    "search.kimg": {"loguniform": [0.05, 1.0]},
    "search.d_steps_per_g_step": {"randint": [1, 5]},
    "search.controller_phases": {"randint": [1, 8]},
    "search.levels": {"randint": [1, 3]},
    "derive.samples": {"randint": [0, 4]},
    "remedies.auxiliary_skip": {"uniform": [0.0, 1.0]},
    "remedies.cost_weight_g": {"uniform": [0.0, 1.0]},
    "optim.lr_arch_g": {"loguniform": [1e-3, 1e-1]},
}


@st.composite
def sweeps(draw: st.DrawFn, ranges: bool = True) -> dict[str, Any]:
    """Domains of up to six settings, with conditions on each other; most of them keep to the rules."""
    keys = draw(st.lists(st.sampled_from(sorted({*CHOICES, *(RANGES if ranges else ())})), max_size=6, unique=True))
    sweep: dict[str, Any] = {}
    for key in keys:
        if key in RANGES and ranges and (key not in CHOICES or draw(st.booleans())):
            sweep[key] = dict(RANGES[key])
        else:
            sweep[key] = {"choice": draw(st.lists(st.sampled_from(CHOICES[key]), min_size=1, unique=True))}
    for key in keys:
        others = [other for other in keys if other != key and "choice" in sweep[other]]
        if others and draw(st.booleans()):
            asked = draw(st.lists(st.sampled_from(others), max_size=2, unique=True))
            sweep[key]["when"] = {
                other: draw(st.lists(st.sampled_from(sweep[other]["choice"]), min_size=1, unique=True))
                for other in asked
            }
    return sweep


UNSWEPT = load_study_config("smoke", {"search.relaxation": "own"}).model_copy(update={"sweep": {}})


def study_of(sweep: dict[str, Any]) -> StudyConfig:
    return StudyConfig.parse(UNSWEPT.to_dict() | {"sweep": sweep}, "test", ConfigError)


def verdict(sweep: dict[str, Any]) -> str:
    """The message with which a sweep is refused; empty where it is accepted."""
    try:
        study_of(sweep)
    except ConfigError as error:
        return str(error)
    return ""


def proposals(sweep: dict[str, Domain], values_of: Callable[[str, Domain], list[Any]]) -> Iterator[dict[str, Any]]:
    """Every proposal with these values of the settings: written as the searcher proposes, and without ``corners``."""
    for values in itertools.product(*(values_of(key, domain) for key, domain in sweep.items())):
        proposed: dict[str, Any] = {}
        for (key, domain), value in zip(sweep.items(), values, strict=True):
            if all(proposed.get(other) in wanted for other, wanted in domain.when.items()):
                proposed[key] = value
        yield proposed


def some_value(domain: Domain, rng: random.Random) -> Any:
    if domain.choice:
        return rng.choice(domain.choice)
    if domain.randint:
        return rng.randint(*domain.randint)
    return rng.uniform(*domain.ends())


METHOD = {"choice": ["adversarial", "random"]}
PERTURBATION = {"choice": [True, False], "when": {"search.method": ["adversarial"]}}
SAMPLES = {"choice": [2, 4], "when": {"derive.perturbation": [True]}}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_mistake_behind_two_conditions_is_refused_wherever_the_file_writes_it(order: tuple[int, ...]) -> None:
    domains = [("search.method", METHOD), ("derive.perturbation", PERTURBATION), ("derive.samples", SAMPLES)]
    message = verdict(dict(domains[index] for index in order))
    assert "derive.samples = 2 and derive.perturbation = true exclude each other" in message
    assert "where the sweep proposes derive.samples = 2, derive.perturbation = True" in message


@settings(max_examples=150, deadline=None)
@given(sweeps(), st.integers(0, 2**32))
def test_the_order_of_the_file_changes_neither_verdict_nor_proposals(sweep: dict[str, Any], seed: int) -> None:
    rng = random.Random(seed)
    items = list(sweep.items())
    rng.shuffle(items)
    assert verdict(dict(items)) == verdict(sweep)
    try:
        live, other = (study_of(swept).live_sweep for swept in (sweep, dict(items)))
    except ConfigError:
        return
    drawn = {key: some_value(domain, rng) for key, domain in live.items()}
    assert list(live) == list(other)
    assert list(proposals(live, lambda key, _: [drawn[key]])) == list(proposals(other, lambda key, _: [drawn[key]]))


@settings(max_examples=200, deadline=None)
@given(sweeps(), st.integers(0, 2**32))
def test_no_proposal_of_an_accepted_study_is_refused_as_a_trial(sweep: dict[str, Any], seed: int) -> None:
    try:
        study = study_of(sweep)
    except ConfigError:
        return
    rng = random.Random(seed)
    for _ in range(10):
        proposed = next(proposals(study.live_sweep, lambda _, domain: [some_value(domain, rng)]))
        trial = study.trial(proposed, seed=0)
        long_enough(study.tune.max_evaluations, ()).check(trial)


@settings(max_examples=150, deadline=None)
@given(sweeps(ranges=False))
def test_a_sweep_by_choice_is_refused_exactly_where_a_proposal_is_no_legal_trial(sweep: dict[str, Any]) -> None:
    message = verdict(sweep)
    assume(not any(word in message for word in ("plays no part", "circle", "is not among its choices")))
    domains = {key: Domain.model_validate(value) for key, value in sweep.items()}
    legal = True
    live = UNSWEPT.model_copy(update={"sweep": domains}).live_sweep
    for proposed in proposals(live, lambda _, domain: list(domain.ends())):
        try:
            UNSWEPT.trial(proposed, seed=0)
        except ConfigError:
            legal = False
    assert legal == (not message)


def test_settings_are_proposed_behind_those_that_their_conditions_ask_about() -> None:
    sweep = {
        "c": Domain(choice=(1, 2), when={"b": (1,)}),
        "b": Domain(choice=(1, 2), when={"a": (1,)}),
        "d": Domain(choice=(1, 2)),
        "a": Domain(choice=(1, 2)),
    }
    assert list(in_order(sweep)) == ["d", "a", "b", "c"]


def test_a_study_proposes_in_the_order_of_its_sections_behind_the_conditions() -> None:
    assert list(load_study_config("smoke").live_sweep) == ["optim.lr_g"]
    rates = ["optim.lr_arch_d", "optim.lr_arch_g", "optim.lr_d", "optim.lr_g"]
    first = ["space", "search.relaxation", *rates]
    assert list(load_study_config("digits").live_sweep) == [*first, "search.temperature_start"]
    assert list(load_study_config("cifar10").live_sweep) == [
        *first,
        "search.temperature_end",
        "search.temperature_start",
    ]


@pytest.mark.parametrize(
    ("message", "sweep"),
    [
        (
            "in a circle: 'search.method' asks about 'derive.perturbation' asks about 'search.method'; leave out one",
            {"search.method": METHOD | {"when": {"derive.perturbation": [True]}}, "derive.perturbation": PERTURBATION},
        ),
        ("when names 'optim.lr_d', which is swept over a range; give it a choice",
         {"optim.lr_d": {"uniform": [0.1, 0.2]},
          "optim.lr_g": {"uniform": [0.1, 0.2], "when": {"optim.lr_d": [0.1]}}}),
        ("when names 'seed', which no trial has", {"optim.lr_g": {"uniform": [0.1, 0.2], "when": {"seed": [1]}}}),
        ("when derive.samples = [3] is not among its choices",
         {"derive.samples": {"choice": [0, 2]}, "optim.lr_g": {"randint": [0, 1], "when": {"derive.samples": [3]}}}),
        ("when derive.perturbation = 'true': write it as True",
         {"optim.lr_g": {"uniform": [0.1, 0.2], "when": {"derive.perturbation": ["true"]}}}),
        ("sweep.model.latent_dim = 12.943999999999999: Input should be a valid integer",
         {"model.latent_dim": {"uniform": [8, 16]}}),
        ("sweep.model.latent_dim = '8': write it as 8", {"model.latent_dim": {"choice": ["8"]}}),
    ],
)  # fmt: skip
def test_a_domain_or_condition_that_cannot_be_meant_is_refused(message: str, sweep: dict[str, Any]) -> None:
    assert message in verdict(sweep)


def domain(**kind: Any) -> Domain:
    return Domain.model_validate(kind)


def test_corners_are_whole_proposals_with_every_combination_of_the_ends() -> None:
    sweep = {
        "a": domain(choice=["x", "y"]),
        "beside": domain(choice=["z", "w", "v"]),
        "c": domain(randint=(1, 5), when={"a": ["x"]}),
        "b": domain(uniform=(0.0, 1.0), when={"beside": ["z"]}),
    }
    beside = {"beside": "z", "b": 0.0}
    assert corners(sweep, ["a", "c"]) == [
        {"a": "x", **beside, "c": 1},
        {"a": "x", **beside, "c": 5},
        {"a": "y", **beside},
    ]
    # Of what only a condition asks about, one value that fulfils it and one that does not.
    assert corners(sweep, ["b"]) == [
        {"a": "x", "beside": "z", "c": 1, "b": 0.0},
        {"a": "x", "beside": "z", "c": 1, "b": 1.0},
        {"a": "x", "beside": "w", "c": 1},
    ]
    assert corners({}, ["a"]) == [{}]
    numbers = {"n": domain(choice=[3, 1, 2]), "divided": domain(randint=(8, 99))}
    assert [corner["n"] for corner in corners(numbers, ["n"])] == [1, 3]
    assert [corner["divided"] for corner in corners(numbers, ["divided"], ["divided"])] == [8, 9, 99]


def test_the_number_of_corners_is_bounded_by_what_a_rule_reads_however_much_is_swept() -> None:
    sweep = {key: domain(choice=CHOICES.get(key, tuple(range(1, 20)))) for key in sweepable()}
    rules = [*RULES, long_enough(10, sweep)]
    counts = [len(corners(sweep, rule.reads)) for rule in rules]
    for rule, count in zip(rules, counts, strict=True):
        words = {"search.method": 4, "search.relaxation": 3}
        bound = 1
        for key in rule.reads:
            bound *= words.get(key, 2)
        assert count <= bound
    assert max(counts) == 4 * 2**6 and sum(counts) < 700
    # A condition at most doubles it, and does so for what its own condition asks about.
    sweep["derive.samples"] = domain(choice=range(20), when={"space": [1, 2]})
    sweep["space"] = domain(choice=range(1, 20), when={"model.latent_dim": [5]})
    assert len(corners(in_order(sweep), ["derive.samples", "derive.perturbation"])) == 2 * (2 + 1 + 1)


class Watched:
    """Stands for a section, and notes the dotted names of the settings that are read of it."""

    def __init__(self, section: Any, names: set[str], lead: str = "") -> None:
        self._section, self._names, self._lead = section, names, lead

    def __getattr__(self, name: str) -> Any:
        computed = getattr(type(self._section), name, None)
        if isinstance(computed, property):
            return computed.fget(self)  # type: ignore[misc]
        value = getattr(self._section, name)
        if f"{self._lead}{name}" in {entry.split(".")[0] for entry in sweepable()} and name != "space":
            return Watched(value, self._names, f"{name}.")
        self._names.add(f"{self._lead}{name}")
        return value


@settings(max_examples=100, deadline=None)
@given(st.fixed_dictionaries({key: st.sampled_from(values) for key, values in CHOICES.items()}))
def test_a_rule_reads_no_setting_that_it_does_not_name(values: dict[str, Any]) -> None:
    trial = study_of({}).sections(values)
    for rule in [*RULES, long_enough(10, ())]:
        names: set[str] = set()
        try:
            rule.check(Watched(trial, names))  # type: ignore[arg-type]
        except ValueError:
            continue  # what a message reads besides does not matter
        assert names <= set(rule.reads)


def test_a_trial_is_held_to_every_rule() -> None:
    with pytest.raises(ConfigError, match=r"search.temperature_end = 7.0 is above search.temperature_start = 5.0"):
        TrialConfig.parse({"search": {"temperature_end": 7.0}}, "test", ConfigError)
    TrialSections.parse({"search": {"temperature_end": 7.0}}, "test", ConfigError)
