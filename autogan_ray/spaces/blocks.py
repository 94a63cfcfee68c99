"""The kinds of network whose cells are code: AutoGAN's blocks with named decisions, its fixed D, whole networks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from autogan_ray.base.value import no_doubles
from autogan_ray.spaces.part import Decision, Part
from autogan_ray.spaces.sizes import CellLayout, cells_in_words, discriminator_layout, generator_layout


class BlockPart(Part):
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

    def layout(self, image_size: int) -> tuple[CellLayout, ...]:
        """Returns cells that all double the image side."""
        return generator_layout(image_size)

    def decided(self, layout: CellLayout) -> tuple[Decision, ...]:
        """Returns the decisions of one cell, by their short names; ``skip2`` is the skip from cell 2."""
        skips = [Decision(f"skip{earlier}", self.skip) for earlier in range(1, layout.number)]
        own = ("conv", self.conv), ("norm", self.norm), ("up", self.up), ("shortcut", self.shortcut)
        return (*(Decision(name, choices) for name, choices in own), *skips)

    def covering(self, decisions: Sequence[Decision]) -> list[dict[str, str]]:
        """Returns the choices of a few networks in which together each module stands at least once.

        Modules wait for two choices: norms and up-samplings for theirs beside each ``conv``, the up-samplings of skips
        and shortcuts for a ``yes`` beside each ``up``. So every skip that may be there is, and each ``conv`` is seen
        beside each choice of the others.
        """
        listed = {d.name: ["yes"] if "yes" in d.choices else list(d.choices) for d in decisions}
        rounds = max(len(choices) for choices in listed.values())
        return [
            {n: conv if n.endswith(".conv") else choices[i % len(choices)] for n, choices in listed.items()}
            for conv, i in itertools.product(self.conv, range(rounds))
        ]

    def drawing(self, layouts: Sequence[CellLayout]) -> tuple[str, list[tuple[str, str]]]:
        """Returns what a cell computes, and what its decisions mean."""
        later = "none, as there is one cell"
        if len(layouts) > 1:
            later = f"in {cells_in_words(layouts[1:])}, K is the earlier cell that it comes from"
        decided = [
            ("conv", self.conv, "norm and ReLU stand before each convolution (pre) or after it (post)"),
            ("norm", self.norm, "of both convolutions"),
            ("up", self.up, "how the input, the skips and the shortcut are doubled"),
            ("shortcut", self.shortcut, ""),
            ("skipK", self.skip, later),
        ]
        return "each a residual block of AutoGAN", [
            ("in", "the cell before; in cell1 z"),
            ("h", "in, doubled, 3x3 convolution; later cells see it as their skip"),
            ("", "+ each skip that is 'yes', doubled to this side, 1x1 convolution"),
            ("out", "h, 3x3 convolution"),
            ("", "+ in, doubled, 1x1 convolution, where the shortcut is 'yes'"),
            *((name, " ".join(choices) + (f"   {meaning}" if meaning else "")) for name, choices, meaning in decided),
        ]


class FixedPart(Part):
    """The discriminator of AutoGAN: nothing to decide."""

    kind: Literal["autogan_fixed"]

    def layout(self, image_size: int) -> tuple[CellLayout, ...]:
        """Returns four blocks, of which two halve the image side."""
        return discriminator_layout(image_size, cells=4, halvings=2, fixed=4)

    def drawing(self, layouts: Sequence[CellLayout]) -> tuple[str, list[tuple[str, str]]]:
        """Returns that nothing is decided."""
        return "AutoGAN's blocks, nothing is decided", []


class WholePart(Part):
    """One decision: which hand-made network it is (``nets/baselines``)."""

    kind: Literal["whole"]
    networks: tuple[Literal["dcgan", "stylegan2", "biggan", "r3gan"], ...] = Field(min_length=1)

    CONDITIONAL: ClassVar[frozenset[str]] = frozenset({"biggan"})
    """The networks that take classes where the data set has labels."""

    @model_validator(mode="after")
    def _no_network_twice(self) -> Self:
        no_doubles("networks: choice", self.networks)
        return self

    def check_role(self, network: str) -> None:
        """Raises ValueError for a generator that is to be a discriminator."""
        if network == "d" and "stylegan2" in self.networks:
            raise ValueError(
                "discriminator: network 'stylegan2' is a generator only; there are 'dcgan', 'biggan' and 'r3gan'"
            )

    def layout(self, image_size: int) -> tuple[CellLayout, ...]:
        """Returns nothing: these networks are no rows of equal cells."""
        return ()

    def decisions(self, network: str, image_size: int) -> tuple[Decision, ...]:
        """Returns the one decision."""
        return (Decision(f"{network}.whole.network", self.networks),)
