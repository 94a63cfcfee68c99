"""What a search method reads of a study, and what makes no sense beside it: data, so that a study is checked early.

The methods themselves are in ``search/``; docs/methods.md says what each does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the sections check themselves through this module
    from autogan_ray.config.sections import SearchConfig
    from autogan_ray.config.study import StudyConfig
    from autogan_ray.config.sweep import Domain

OWN = "own"
"""How a file, which has no null, writes the relaxation that is the method's own."""

OWN_RELAXATION: Mapping[str, str | None] = MappingProxyType(
    {"adversarial": "gumbel", "duality_gap": "gumbel", "reinforce": None, "random": None}
)
"""method -> relaxation where none is named; None: the method runs one path at a time and relaxes nothing."""

RELAXED = tuple(method for method, own in OWN_RELAXATION.items() if own)
_LEARNING = tuple(method for method in OWN_RELAXATION if method != "random")

READ_BY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **dict.fromkeys(("search.temperature_start", "search.temperature_end"), RELAXED),
        **dict.fromkeys(("search.temperature_schedule", "search.logits_as_probabilities"), RELAXED),
        **dict.fromkeys(("search.relaxation", "search.search_d"), RELAXED),
        **dict.fromkeys(("optim.lr_arch_g", "optim.lr_arch_d", "optim.weight_decay_arch"), RELAXED),
        "search.warmup": _LEARNING,
        "search.unrolled": ("adversarial",),
        "search.gap_inner_steps": ("duality_gap",),
        **dict.fromkeys(("search.reward", "search.reward_images", "search.beam", "search.levels"), ("reinforce",)),
        **dict.fromkeys(("search.controller_phases", "search.controller_steps"), ("reinforce",)),
        **dict.fromkeys(("search.controller_samples", "optim.lr_controller"), ("reinforce",)),
        **dict.fromkeys(("search.reset_window", "search.reset_variance"), ("reinforce",)),
    }
)
"""Setting -> the methods that read it; settings not named here are read by all."""

GUARDED = ("relaxation", "unrolled", "logits_as_probabilities")
"""Settings of ``[search]`` that are a mistake, and not only idle, beside a method that does not read them."""


def misfit(method: str, name: str, value: Any) -> str | None:
    """What is wrong with a guarded setting's value beside a method; None where nothing is."""
    readers = READ_BY[f"search.{name}"]
    if method in readers or not value:
        return None
    shown = "true" if value is True else repr(value)
    if name == "unrolled":
        return (
            f"search.unrolled = {shown} with search.method = {method!r}: only {listed(readers)} steps through the "
            "weights; leave it out, or take that method"
        )
    return (
        f"search.{name} = {shown} with search.method = {method!r}: that method runs one path at a time and relaxes "
        f"nothing; leave it out{' (--set search.relaxation=own)' if name == 'relaxation' else ''}, or take a method "
        f"that relaxes: {listed(readers)}"
    )


def listed(names: Iterable[str]) -> str:
    return " or ".join(repr(name) for name in names)


def check(study: StudyConfig) -> None:
    """Raises ValueError where a sweep proposes what no method of a trial reads, or what is a mistake beside one; and
    where a search is too short for its method to move anything."""
    sweep = study.live_sweep
    swept = sweep.get("search.method")
    possible: list[str] = [str(method) for method in swept.choice or ()] if swept else [study.search.method]
    for key, domain in sweep.items():
        mine = _beside(domain, possible)
        if key in READ_BY and not set(mine) & set(READ_BY[key]):
            raise ValueError(
                f"sweep.{key}: it plays no part in search.method = {listed(mine or possible)}, only in "
                f"{listed(READ_BY[key])}; take it out of the sweep, or give it {_guard(key)}"
            )
    for method in possible:
        for name in GUARDED:
            swept = sweep.get(f"search.{name}")
            offered = swept.ends() if swept and _beside(swept, [method]) else (getattr(study.search, name),)
            for wrong in filter(None, (misfit(method, name, value) for value in offered)):
                raise ValueError(f"sweep: {wrong}; or sweep search.{name} with {_guard(f'search.{name}')}")
        _check_length(method, study.search, study.tune.max_evaluations)


def _beside(domain: Domain, methods: Sequence[str]) -> list[str]:
    """The methods beside which a domain is proposed."""
    return [method for method in methods if method in domain.when.get("search.method", (method,))]


def _guard(key: str) -> str:
    return f'when = {{ "search.method" = {list(READ_BY[key])} }}'.replace("'", '"')


def _check_length(method: str, search: SearchConfig, evaluations: int) -> None:
    if method == "random":
        return
    steps = steps_g(search, total_steps(search, evaluations))
    if steps < 1:
        raise ValueError(
            f"search.warmup = {search.warmup} leaves none of the search's steps of G to search.method = {method!r}; "
            f"lower it, or search.d_steps_per_g_step = {search.d_steps_per_g_step}, or raise search.kimg = "
            f"{search.kimg}"
        )
    if method != "reinforce":
        return
    phases = phases_of(search, steps)
    if phases > steps:
        raise ValueError(
            f"search.controller_phases = {phases}, but a search has {steps} steps of G after its warm-up and at most "
            "one phase at each; lower it, or raise search.kimg"
        )
    if (search.levels or 1) > phases:
        raise ValueError(
            f"search.levels = {search.levels} is more than search.controller_phases = {phases}; each level needs one"
        )


def total_steps(search: SearchConfig, evaluations: int) -> int:
    """Steps of D in a search."""
    return max(evaluations, math.ceil(search.kimg * 1000 / search.batch_size))


def steps_g(search: SearchConfig, total: int) -> int:
    """Steps of G after the warm-up, each with an update of its architecture."""
    every = search.d_steps_per_g_step
    return total // every - math.ceil(search.warmup * total) // every


def phases_of(search: SearchConfig, steps: int) -> int:
    """How often the controller of ``reinforce`` learns."""
    return search.controller_phases or min(20, steps)
