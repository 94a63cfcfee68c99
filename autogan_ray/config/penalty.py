"""Which discriminators a gradient penalty may be taken of: those that judge each image by itself."""

from __future__ import annotations

from collections.abc import Iterable

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.training import GameConfig
from autogan_ray.spaces.space import SearchSpace

PENALTY_READS = ("objective", "gamma", "gamma_end")
"""The settings of a game that ``check_penalty`` reads."""

_WAYS_OUT = {
    "search": 'write norm = "spectral" into the space\'s [discriminator] (the penalty takes its place)',
    "retrain": 'set retrain.discriminator = "fixed"',
}


def check_penalty(game: GameConfig, section: str, space: SearchSpace, choices: Iterable[str]) -> None:
    """Checks that no gradient penalty meets a discriminator with batch norms.

    The penalty is of the gradient of each score with respect to its own image (R1, Mescheder et al., ICML 2018). Behind
    a batch norm a score depends on all images of its batch, real ones and fakes, so the gradient of the sum of scores
    holds what an image does to the scores of others too, by which it partly cancels.

    Args:
        section: of the game, ``search`` or ``retrain``.
        choices: all that the discriminator has, in a search or derived.

    Raises:
        ConfigError: it does, at any step.
    """
    found = space.discriminator.batch_norms(choices) if game.penalised else ""
    if found:
        end = f" and gamma_end = {game.gamma_end}" if game.gamma_end else ""
        raise ConfigError(
            f"{section}.objective = {game.objective!r} with gamma = {game.gamma_in_force}{end}: the discriminator of "
            f"space {space.name!r} has batch norms ({found}), behind which a score depends on the other images of its "
            f"batch, and a gradient penalty is of each score by its own image; {_WAYS_OUT[section]}, or set "
            f"{section}.gamma = 0{' and leave gamma_end out' if end else ''}"
        )
