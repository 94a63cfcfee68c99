"""Remedies for known failures of differentiable search: section ``[remedies]``, all off unless asked for.

The values and what is a mistake beside what; ``search/remedies.py`` applies them, docs/remedies.md says when to.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeFloat, model_validator

from autogan_ray.base.errors import ConfigError
from autogan_ray.base.value import Value

if TYPE_CHECKING:  # the configuration checks itself through this module
    from autogan_ray.config.study import StudyConfig, TrialConfig
    from autogan_ray.spaces.part import Decision
    from autogan_ray.spaces.space import SearchSpace

Fraction = Annotated[float, Field(gt=0, lt=1)]


class RemediesConfig(Value):
    auxiliary_skip: NonNegativeFloat = 0.0
    """b at the first step: each edge on which ``skip`` is still a choice carries b * x besides its mixture, and b falls
    linearly to 0 at the last step; evaluations have none (DARTS-, Chu et al., ICLR 2021: the auxiliary skip connection
    with decay rate beta, there from 1). For mixtures only: one path has no weights that a skip could win over."""
    entropy_weight: NonNegativeFloat = 0.0
    """Times the mean entropy of a network's decisions / log(number of choices), 0 to 1, in its logits' loss. The weight
    grows linearly from 0 at the end of the warm-up to this at the last step (DA2S, Tian et al., Pattern Recognition
    2021, whose loss term is an entropy under a growing continuation function)."""
    zero_one_weight: NonNegativeFloat = 0.0
    """Times -mean((p - 0.5)^2) over a network's choices (Fair DARTS, Chu et al., ECCV 2020, zero-one loss). There p is
    a sigmoid for each choice; here it is the softmax, so a decision's terms sum to sum(p^2) - 1 + n / 4: the loss
    favours one sure choice, and its gradient is 0 where all are alike."""
    cost_weight_g: NonNegativeFloat = 0.0
    """Times the expected cost of G over that at uniform probabilities (1 at the start), in the loss of G's logits from
    the end of the warm-up (ProxylessNAS, Cai et al., ICLR 2019, section 3.3: expected latency, sum of p times cost)."""
    cost_weight_d: NonNegativeFloat = 0.0
    """The same for D and its own cost."""
    cost: Literal["macs", "params"] = "macs"
    """What both cost weights count, at the widths of the search."""
    shrink_at: tuple[Fraction, ...] = ()
    """At each of these parts of the search every decision loses its weakest choice, for good and with its computation,
    unless none or no connected network would be left (progressive shrinking: P-DARTS, Chen et al., ICCV 2019, section
    3.2; ASAP, Noy et al., AISTATS 2020). Increasing, behind the warm-up."""

    @property
    def penalised(self) -> bool:
        """Whether anything is added to the logits' loss."""
        return any((self.entropy_weight, self.zero_one_weight, self.cost_weight_g, self.cost_weight_d))

    @property
    def on(self) -> bool:
        """Whether anything differs from a search without remedies."""
        return self.penalised or bool(self.auxiliary_skip or self.shrink_at)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.entropy_weight and self.zero_one_weight:
            raise ValueError(
                f"entropy_weight = {self.entropy_weight} and zero_one_weight = {self.zero_one_weight} exclude each "
                "other: both push decisions to one choice; set one of them to 0"
            )
        for before, after in itertools.pairwise(self.shrink_at):
            if after <= before:
                near = sorted(set(self.shrink_at))
                raise ValueError(f"shrink_at = {list(self.shrink_at)} does not increase; did you mean {near}?")
        return self


def check_trial(trial: TrialConfig) -> None:
    """Raises ValueError where a remedy makes no sense beside the trial's other settings."""
    remedies, search = trial.remedies, trial.search
    if remedies.on and search.relaxation_in_force is None:
        raise ValueError(
            f"remedies with search.method = {search.method!r}: that method follows no gradient of its logits, which is "
            "what they add to; take 'adversarial' or 'duality_gap', or leave the section out"
        )
    if remedies.auxiliary_skip and search.relaxation_in_force == "gumbel_hard":
        raise ValueError(
            f"remedies.auxiliary_skip = {remedies.auxiliary_skip} with search.relaxation = 'gumbel_hard': one path has "
            "no weights that a skip could win over; set it to 0, or take 'softmax' or 'gumbel'"
        )
    if remedies.cost_weight_d and not search.search_d:
        raise ValueError(
            f"remedies.cost_weight_d = {remedies.cost_weight_d} with search.search_d = false: D's logits stay as they "
            "start; set it to 0"
        )
    if remedies.shrink_at and remedies.shrink_at[0] <= search.warmup:
        raise ValueError(
            f"remedies.shrink_at = {list(remedies.shrink_at)} begins within search.warmup = {search.warmup}, where "
            "the logits are still the noise they start as; begin later"
        )


def check_space(trial: TrialConfig, space: SearchSpace, image_size: int) -> None:
    """Raises ConfigError where a trial's space gives a remedy nothing to work on."""
    remedies, where = trial.remedies, f"space {space.name!r}"
    decided = {
        "g": _open(space.decisions(image_size, "g")),
        "d": _open(space.decisions(image_size, "d")) if trial.search.search_d else [],
    }
    both = decided["g"] + decided["d"]
    if remedies.auxiliary_skip and not any(decision.identity for decision in space.decisions(image_size)):
        raise ConfigError(
            f"remedies.auxiliary_skip = {remedies.auxiliary_skip}: no decision of {where} has the choice 'skip'; "
            "set it to 0, or take another space"
        )
    for network, decisions in decided.items():
        weight = getattr(remedies, f"cost_weight_{network}")
        if weight and not decisions:
            raise ConfigError(
                f"remedies.cost_weight_{network} = {weight}: {where} leaves nothing to decide in "
                f"{network.upper()}, so its cost is fixed; set it to 0, or take another space"
            )
    if remedies.on and not both:
        raise ConfigError(f"remedies: {where} leaves nothing to decide; set all of them to 0, or take another space")
    most = max((len(decision.choices) for decision in both), default=1)
    if len(remedies.shrink_at) > most - 1:
        raise ConfigError(
            f"remedies.shrink_at = {list(remedies.shrink_at)}: no decision of {where} has more than {most} choices, "
            f"so it can lose {most - 1} at most; leave out {len(remedies.shrink_at) - most + 1}"
        )


def _open(decisions: tuple[Decision, ...]) -> list[Decision]:
    return [decision for decision in decisions if len(decision.choices) > 1]


_BESIDE = ("space", "search.method", "search.relaxation", "search.warmup", "search.search_d")


def check_spaces(study: StudyConfig, spaces: Mapping[str, SearchSpace], image_size: int) -> None:
    """Raises ConfigError where any trial of a study has a space that gives a remedy nothing to work on."""
    for trial in corners(study):
        check_space(trial, spaces[trial.space], image_size)


def corners(study: StudyConfig) -> Iterator[TrialConfig]:
    """Trials that stand for all that a study with remedies can propose: every end of what the rules above read.

    Nothing where no remedy is on. A condition on a setting that is not read here may hold. Raises ConfigError for a
    trial that cannot be.
    """
    swept = {key: domain for key, domain in study.sweep.items() if key in _BESIDE or key.startswith("remedies.")}
    if not study.remedies.on and not any(key.startswith("remedies.") for key in swept):
        return
    swept = dict(sorted(swept.items(), key=lambda item: bool(item[1].when)))  # conditions find what they ask about
    for values in itertools.product(*(domain.ends() for domain in swept.values())):
        proposed: dict[str, Any] = {}
        for (key, domain), value in zip(swept.items(), values, strict=True):
            asked = {other: wanted for other, wanted in domain.when.items() if other in swept}
            if all(proposed.get(other) in wanted for other, wanted in asked.items()):
                proposed[key] = value
        yield study.trial(proposed, 0)
