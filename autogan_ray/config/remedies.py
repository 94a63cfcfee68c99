"""What a search space must offer for the remedies of a trial to have something to work on.

The settings are in :mod:`autogan_ray.config.sections`; ``search/remedies.py`` applies them.
"""

from __future__ import annotations

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.sections import RemediesConfig, TrialSections
from autogan_ray.spaces.space import SearchSpace

SPACE_READS = ("space", "search.search_d", *(f"remedies.{name}" for name in RemediesConfig.model_fields))
"""The settings that ``check_space`` reads."""


def check_space(trial: TrialSections, space: SearchSpace, image_size: int) -> None:
    """Checks that a trial's space gives each of its remedies something to work on.

    Args:
        space: the trial's space.
        image_size: side of the images in pixels.

    Raises:
        ConfigError: a remedy has nothing to work on.
    """
    remedies, where = trial.remedies, f"space {space.name!r}"
    searched = {
        network: [d for d in space.decisions(image_size, network) if len(d.choices) > 1] for network in space.networks
    }
    if not trial.search.search_d:
        searched["d"] = []
    both = searched["g"] + searched["d"]
    if remedies.auxiliary_skip and not any(decision.identity for decision in space.decisions(image_size)):
        raise ConfigError(
            f"remedies.auxiliary_skip = {remedies.auxiliary_skip}: no decision of {where} has the choice 'skip'; "
            "set it to 0, or take another space"
        )
    for network, decisions in searched.items():
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
