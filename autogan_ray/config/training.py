"""Settings that a search and a retraining have in common: the game that their weights play, and how these move."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from autogan_ray.base.errors import nearest
from autogan_ray.base.value import Value

Objective = Literal["hinge", "non_saturating", "relativistic"]
Schedule = Literal["constant", "linear", "cosine", "exponential"]
Rate = Annotated[float, Field(gt=0, le=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]

OWN_GAMMA: Mapping[Objective, float] = MappingProxyType({"hinge": 0.0, "non_saturating": 1.0, "relativistic": 1.0})
"""``gamma`` where a study sets none."""

AUGMENTATIONS = ("color", "translation", "cutout")
"""What ``augment`` may name."""


def _augmentations(value: str) -> str:
    names = [name.strip() for name in value.split(",") if name.strip()]
    for name in names:
        if name not in AUGMENTATIONS:
            raise ValueError(f"no augmentation {name!r}; {nearest(name, AUGMENTATIONS)}")
    return ",".join(names)


Augmentations = Annotated[str, AfterValidator(_augmentations)]


class GameConfig(Value):
    """What the weights of both networks descend; in a search the architecture parameters descend the same losses."""

    objective: Objective = "hinge"
    """``hinge`` (Lim and Ye 2017), ``non_saturating`` (Goodfellow et al. 2014) or ``relativistic`` (R3GAN, Huang et
    al., NeurIPS 2024). docs/objectives.md has the losses and what was measured."""
    gamma: NonNegativeFloat | None = None
    """Weight of the gradient penalty in D's loss at the first step: gamma / 2 times the mean squared norm of the
    gradient of D's scores with respect to real images (R1, Mescheder et al., ICML 2018), for ``relativistic`` also
    with respect to fakes (R2). 0 takes none; None takes 0 for ``hinge`` and 1 for the others."""
    gamma_end: NonNegativeFloat | None = None
    """``gamma`` where the training ends, one step behind the last; None leaves it as it starts."""
    gamma_schedule: Literal["linear", "cosine"] = "cosine"
    """How ``gamma`` goes to ``gamma_end``."""
    penalty_every: PositiveInt = 1
    """The penalty is taken at every n-th step of D and weighs n times as much (lazy regularisation, StyleGAN2, Karras
    et al., CVPR 2020, section 3.1)."""
    spectral_norm_d: bool | None = None
    """Whether D's weights are divided by their spectral norms; None divides them where no penalty is taken."""
    flip: bool = False
    """Half of the real images are shown mirrored, left to right."""
    augment: Augmentations = ""
    """What D sees of both real images and fakes: any of ``color``, ``translation`` and ``cutout``, with commas between
    them (DiffAugment, Zhao et al., NeurIPS 2020); G learns through it. Empty shows the images as they are."""

    @property
    def gamma_in_force(self) -> float:
        """Weight of the penalty at the first step, 0 or more."""
        return OWN_GAMMA[self.objective] if self.gamma is None else self.gamma

    @property
    def penalised(self) -> bool:
        """Whether a gradient penalty is taken at any step."""
        return bool(self.gamma_in_force or self.gamma_end)

    @property
    def spectral_norm_in_force(self) -> bool:
        """Whether D's weights are divided by their spectral norms."""
        return not self.penalised if self.spectral_norm_d is None else self.spectral_norm_d

    @property
    def augmentations(self) -> tuple[str, ...]:
        """The names in ``augment``, in the order in which they are applied."""
        return tuple(name for name in AUGMENTATIONS if name in self.augment.split(","))


def check_compiled(game: GameConfig, section: str) -> None:
    """Raises ValueError where networks that are compiled cannot play this game of a section."""
    if game.penalised:
        raise ValueError(
            f"compute.compile = true with {section}.objective = {game.objective!r} and gamma = {game.gamma_in_force}: "
            "a gradient penalty differentiates twice, which compiled networks cannot; leave compute.compile out, or "
            f"set {section}.gamma = 0"
        )


class WeightsConfig(Value):
    """How Adam moves the weights of both networks, and how G's are averaged."""

    lr_g: Rate = 2e-4
    """Learning rate of the generator's weights."""
    lr_d: Rate = 2e-4
    """Learning rate of the discriminator's weights."""
    betas: tuple[Beta, Beta] = (0.0, 0.9)
    """Betas of Adam for the weights of both networks."""
    clip_grad_norm: PositiveFloat | None = None
    """A longer gradient of a network's weights is scaled down to this norm before each of its steps; None never does
    so. Gradients of the architecture parameters are not clipped."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """How both rates fall to ``lr_end`` times their value, and beta2 goes to ``beta2_end``, by the end of the training.
    Step n of N, from 0 on, is made at n / N of the way: the last one is a step short of the end."""
    schedule_from: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Part of the training, at its beginning, before which both stay as they are."""
    lr_end: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Fraction of the rates that is left where the training ends, one step behind the last; ``schedule = "constant"``
    does not read it."""
    beta2_end: Beta | None = None
    """beta2 where the training ends, one step behind the last; None leaves it as it starts."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the moving average of the generator's weights at each of its steps."""
    ema_half_life_kimg: PositiveFloat | None = None
    """Half-life of that average, whatever the batch size; it takes the place of ``ema``."""
    ema_unbiased: bool = False
    """Whether the average is of trained weights alone: the initial weights, which make up ema^n of it after n steps,
    are taken out (as Adam corrects its moments; Kingma and Ba, ICLR 2015, section 3)."""

    def decay(self, images_per_step_g: int) -> float:
        """Returns the decay of the average at each step of G.

        Args:
            images_per_step_g: real images that D is shown for each step of G.
        """
        if self.ema_half_life_kimg is None:
            return self.ema
        return float(0.5 ** (images_per_step_g / (1000 * self.ema_half_life_kimg)))
