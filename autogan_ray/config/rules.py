"""What must hold between the settings of a trial.

Each rule says which settings it reads. So whether every proposal of a sweep is legal can be asked rule by rule, of the
few settings that meet in it (``check_proposals`` of :mod:`autogan_ray.config.study`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter

from autogan_ray.config.methods import EXCLUDED, METHODS, READ_BY, listed, only_beside
from autogan_ray.config.search_length import phases_of, steps_g, total_steps
from autogan_ray.config.sections import TrialSections
from autogan_ray.config.training import check_compiled

Check = Callable[[TrialSections], None]


@dataclass(frozen=True)
class Rule:
    """A condition on several settings of a trial.

    The ends of a range stand for the whole range: where a number between two others breaks the rule, one of these two
    breaks it as well, whatever the other settings are.

    Args:
        reads: dotted names of the settings that the rule reads.
        check: raises ValueError where the settings break the rule, naming culprit, value, rule and what would be right.
        divided: the settings of which the rule asks whether a number divides them, so that ends do not stand for all.
        way_out: what a sweep can do about it beside the general advice, put behind the message.
    """

    reads: tuple[str, ...]
    check: Check
    divided: tuple[str, ...] = ()
    way_out: str = ""


def rule(*reads: str) -> Callable[[Check], Rule]:
    """Makes a rule of the function below it, which reads these settings."""
    return lambda check: Rule(reads, check)


def _fits_the_method(key: str) -> Rule:
    """Returns the rule that a setting is left out beside a method that does not read it."""

    def check(trial: TrialSections) -> None:
        method, value = trial.search.method, attrgetter(key)(trial)
        if method in READ_BY[key] or value is None or value is False:
            return
        shown = "true" if value is True else repr(value)
        reason = "does not read it" if METHODS[method].relaxation else "runs one path at a time and relaxes nothing"
        if key.startswith("derive."):
            reason = "picks its genotype itself and would not keep to the limit"
        leave_out = "leave it out (--set search.relaxation=own)" if key == "search.relaxation" else "leave it out"
        raise ValueError(
            f"{key} = {shown} with search.method = {method!r}: that method {reason}; {leave_out}, or take "
            f"{listed(READ_BY[key])}"
        )

    return Rule(("search.method", key), check, way_out=f"; or sweep {key} with {only_beside(key)}")


@rule("search.temperature_start", "search.temperature_end")
def _temperature_falls(trial: TrialSections) -> None:
    start, end = trial.search.temperature_start, trial.search.temperature_end
    if end > start:
        raise ValueError(
            f"search.temperature_end = {end} is above search.temperature_start = {start}; a relaxation is sharpened, "
            "so end must not exceed start"
        )


@rule("compute.compile", "search.method", "search.relaxation")
def _paths_are_not_compiled(trial: TrialSections) -> None:
    search = trial.search
    if trial.compute.compile and search.relaxation_in_force not in ("softmax", "gumbel"):
        raise ValueError(
            f"compute.compile = true with search.method = {search.method!r} and search.relaxation = "
            f"{search.relaxation or 'own'!r}: the search runs single paths (gumbel_hard, reinforce, random), and every "
            "path is another network that would be compiled anew; leave compute.compile out, or take 'gumbel' or "
            "'softmax'"
        )


@rule("compute.compile", "search.objective", "search.gamma", "search.gamma_end")
def _penalties_are_not_compiled(trial: TrialSections) -> None:
    if trial.compute.compile:
        check_compiled(trial.search, "search")


@rule("derive.samples", "derive.perturbation")
def _samples_exclude_perturbation(trial: TrialSections) -> None:
    derive = trial.derive
    if derive.samples and derive.perturbation:
        raise ValueError(
            f"derive.samples = {derive.samples} and derive.perturbation = true exclude each other; set samples = 0 "
            "or perturbation = false"
        )


@rule("derive.tune_steps", "derive.perturbation")
def _tuning_needs_perturbation(trial: TrialSections) -> None:
    derive = trial.derive
    if derive.tune_steps and not derive.perturbation:
        raise ValueError(
            f"derive.tune_steps = {derive.tune_steps} without derive.perturbation, which alone tunes; set "
            "perturbation = true or tune_steps = 0"
        )


@rule("remedies.entropy_weight", "remedies.zero_one_weight")
def _one_penalty_sharpens(trial: TrialSections) -> None:
    remedies = trial.remedies
    if remedies.entropy_weight and remedies.zero_one_weight:
        raise ValueError(
            f"remedies.entropy_weight = {remedies.entropy_weight} and zero_one_weight = {remedies.zero_one_weight} "
            "exclude each other: both push decisions to one choice; set one of them to 0"
        )


@rule(
    *("search.method", "remedies.auxiliary_skip", "remedies.entropy_weight", "remedies.zero_one_weight"),
    *("remedies.cost_weight_g", "remedies.cost_weight_d", "remedies.shrink_at"),
)
def _remedies_need_a_gradient(trial: TrialSections) -> None:
    method = trial.search.method
    if trial.remedies.on and METHODS[method].relaxation is None:
        raise ValueError(
            f"remedies with search.method = {method!r}: that method follows no gradient of its architecture "
            f"parameters, which is what they add to; take {listed(READ_BY['search.relaxation'])}, or leave the section "
            "out"
        )


@rule("remedies.auxiliary_skip", "search.method", "search.relaxation")
def _auxiliary_skip_needs_a_mixture(trial: TrialSections) -> None:
    if trial.remedies.auxiliary_skip and trial.search.relaxation_in_force == "gumbel_hard":
        raise ValueError(
            f"remedies.auxiliary_skip = {trial.remedies.auxiliary_skip} with search.relaxation = 'gumbel_hard': one "
            "path has no weights that a skip could win over; set it to 0, or take 'softmax' or 'gumbel'"
        )


@rule("remedies.cost_weight_d", "search.search_d")
def _cost_of_d_needs_its_search(trial: TrialSections) -> None:
    if trial.remedies.cost_weight_d and not trial.search.search_d:
        raise ValueError(
            f"remedies.cost_weight_d = {trial.remedies.cost_weight_d} with search.search_d = false: the "
            "discriminator's architecture parameters stay as they start; set it to 0"
        )


@rule("remedies.shrink_at", "search.warmup")
def _shrinking_follows_the_warm_up(trial: TrialSections) -> None:
    shrink_at, warmup = trial.remedies.shrink_at, trial.search.warmup
    if shrink_at and shrink_at[0] <= warmup:
        raise ValueError(
            f"remedies.shrink_at = {list(shrink_at)} begins within search.warmup = {warmup}, where the architecture "
            "parameters are still the noise they start as; begin later"
        )


RULES: tuple[Rule, ...] = (
    *(_fits_the_method(key) for key in EXCLUDED),
    _temperature_falls,
    _paths_are_not_compiled,
    _penalties_are_not_compiled,
    _samples_exclude_perturbation,
    _tuning_needs_perturbation,
    _one_penalty_sharpens,
    _remedies_need_a_gradient,
    _auxiliary_skip_needs_a_mixture,
    _cost_of_d_needs_its_search,
    _shrinking_follows_the_warm_up,
)
"""What every trial must fulfil."""


def long_enough(evaluations: int, swept: Iterable[str]) -> Rule:
    """Returns the rule that a search is long enough for its method to do what the settings ask for.

    Args:
        evaluations: of a whole search.
        swept: settings that a sweep proposes.
    """
    length = ("search.kimg", "search.batch_size", "search.d_steps_per_g_step", "search.warmup")
    # The exact number of steps is rounded twice and can fall by 1 where it should rise: the ends of a range would not
    # stand for the range. Where one of these is swept, a number is taken that is rounded once and never greater.
    exact = not set(length) & set(swept)

    def check(trial: TrialSections) -> None:
        search = trial.search
        reads = METHODS[search.method].reads
        if "search.warmup" not in reads:
            return
        total = total_steps(search, evaluations)
        steps = steps_g(search, total)
        if not exact:
            steps = (total - math.ceil(search.warmup * total)) // search.d_steps_per_g_step
        if steps < 1:
            raise ValueError(
                f"search.warmup = {search.warmup} leaves none of the search's steps of G to search.method = "
                f"{search.method!r}; lower it, or search.d_steps_per_g_step = {search.d_steps_per_g_step}, or raise "
                f"search.kimg = {search.kimg}"
            )
        if "search.controller_phases" not in reads:
            return
        phases = phases_of(search, steps)
        if phases > steps:
            raise ValueError(
                f"search.controller_phases = {phases}, but a search has {steps} steps of G after its warm-up and at "
                "most one phase at each; lower it, or raise search.kimg"
            )
        if (search.levels or 1) > phases:
            raise ValueError(
                f"search.levels = {search.levels} is more than search.controller_phases = {phases}; each level needs "
                "one"
            )

    return Rule((*length, "search.method", "search.controller_phases", "search.levels"), check)
