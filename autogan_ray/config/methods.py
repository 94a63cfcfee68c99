"""The search methods as a study's configuration sees them: a table with one row for each method.

The methods themselves are in ``search/methods/``, one file each; ``docs/methods.md`` says what each of them does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class SearchMethod:
    """What a method makes of a study's settings.

    Args:
        relaxation: the relaxation that the method uses where the study names none; None for a method that runs a
            single path at each step and relaxes nothing.
        reads: dotted names of the settings that this method reads and that some other method does not read. Settings
            that no row of the table names are read by every method.
    """

    relaxation: str | None
    reads: tuple[str, ...]


_RELAXED = (
    *("search.relaxation", "search.temperature_start", "search.temperature_end", "search.temperature_schedule"),
    *("search.logits_as_probabilities", "search.search_d"),
    *("optim.lr_arch_g", "optim.lr_arch_d", "optim.weight_decay_arch"),
)
"""Read by every method that relaxes, and so follows a gradient of the architecture parameters."""

_LIMITS = tuple(f"derive.max_{what}_{network}" for what in ("skips_per_cell", "params", "macs") for network in "gd")
"""Read by every method whose genotype follows from the architecture parameters by the rules of ``[derive]``."""

_CONTROLLED = (
    *("search.reward", "search.reward_images", "search.beam", "search.levels", "search.controller_phases"),
    *("search.controller_steps", "search.controller_samples", "optim.lr_controller"),
    *("search.reset_window", "search.reset_variance"),
)

METHODS: Mapping[str, SearchMethod] = MappingProxyType(
    {
        "adversarial": SearchMethod("gumbel", (*_RELAXED, *_LIMITS, "search.warmup", "search.unrolled")),
        "duality_gap": SearchMethod("gumbel", (*_RELAXED, *_LIMITS, "search.warmup", "search.gap_inner_steps")),
        "reinforce": SearchMethod(None, (*_CONTROLLED, "search.warmup")),
        "random": SearchMethod(None, ()),
    }
)
"""Every value that ``search.method`` may have."""

READ_BY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        key: tuple(name for name, method in METHODS.items() if key in method.reads)
        for row in METHODS.values()
        for key in row.reads
    }
)
"""Setting -> the methods that read it. Settings that are not named here are read by every method."""

EXCLUDED = ("search.relaxation", "search.unrolled", "search.logits_as_probabilities", *_LIMITS)
"""Settings that are a mistake beside a method that does not read them; any other such setting is merely idle."""


def listed(names: Iterable[str]) -> str:
    """Returns the quoted names with "or" between them, for messages."""
    return " or ".join(repr(name) for name in names)


def only_beside(key: str) -> str:
    """Returns the TOML condition under which a sweep may propose a setting that only some methods read."""
    methods = ", ".join(f'"{name}"' for name in READ_BY[key])
    return f'when = {{ "search.method" = [{methods}] }}'
