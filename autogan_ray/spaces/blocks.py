"""The kinds of a network of a search space that are code with named decisions: blocks, a fixed net, whole networks."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from autogan_ray.base.value import Value, no_doubles
from autogan_ray.spaces.dag import DagPart
from autogan_ray.spaces.part import Decision
from autogan_ray.spaces.sizes import CellLayout, discriminator_layout


class BlockPart(Value):
    """G of AutoGAN: residual blocks with named decisions (Gong et al., ICCV 2019, section 3.1)."""

    kind: Literal["autogan_block"]
    conv: tuple[Literal["post", "pre"], ...] = ("post", "pre")
    """Post-activation or pre-activation convolutions."""
    norm: tuple[Literal["none", "batch", "instance"], ...] = ("none", "batch", "instance")
    up: tuple[Literal["bilinear", "nearest", "deconv"], ...] = ("bilinear", "nearest", "deconv")
    shortcut: tuple[Literal["no", "yes"], ...] = ("no", "yes")
    skip: tuple[Literal["no", "yes"], ...] = ("no", "yes")

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        for name in ("conv", "norm", "up", "shortcut", "skip"):
            listed = getattr(self, name)
            no_doubles(f"{name}: choice", listed)
            if not listed:
                raise ValueError(f"{name} is empty; a decision needs at least one choice")
        return self

    def decided(self, layout: CellLayout) -> tuple[Decision, ...]:
        """The decisions of one cell, by their names in it."""
        skips = [Decision(f"skip{earlier}", self.skip) for earlier in range(1, layout.number)]
        own = ("conv", self.conv), ("norm", self.norm), ("up", self.up), ("shortcut", self.shortcut)
        return (*(Decision(name, choices) for name, choices in own), *skips)


class FixedPart(Value):
    """The discriminator of AutoGAN: nothing to decide."""

    kind: Literal["autogan_fixed"]

    def layout_d(self, image_size: int) -> tuple[CellLayout, ...]:
        """Four blocks, of which two halve the image side."""
        return discriminator_layout(image_size, cells=4, halvings=2, fixed=4)


class WholePart(Value):
    """One decision: which hand-made network it is (``nets/baselines``)."""

    kind: Literal["whole"]
    networks: tuple[Literal["dcgan", "stylegan2", "biggan"], ...] = Field(min_length=1)

    CONDITIONAL: ClassVar[frozenset[str]] = frozenset({"biggan"})
    """Those that take classes where the data set has labels."""

    @model_validator(mode="after")
    def _no_network_twice(self) -> Self:
        no_doubles("networks: choice", self.networks)
        return self


GeneratorPart = Annotated[DagPart | BlockPart | WholePart, Field(discriminator="kind")]
DiscriminatorPart = Annotated[DagPart | FixedPart | WholePart, Field(discriminator="kind")]
