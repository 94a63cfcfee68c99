"""ONE skeleton for the generator and one for the discriminator, open at the decisions of a search space.

With ``choices=None`` every choice is kept at every decision (a supernet); with a genotype's choices only the chosen
ones are built (a derived network). Nothing else differs, so one test can hold both equal.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from autogan_ray.base.errors import ConfigError
from autogan_ray.nets import baselines
from autogan_ray.nets.block_cell import BlockCell, FixedBlock
from autogan_ray.nets.dag_cell import DagCell
from autogan_ray.nets.fast.mixtures import Mixtures
from autogan_ray.nets.latents import Latents
from autogan_ray.nets.ops import batch_norm, conv
from autogan_ray.nets.place import Choices, Place, Places, Selection
from autogan_ray.nets.spectral import found_together, is_spectral, spectral
from autogan_ray.spaces.blocks import BlockPart, WholePart
from autogan_ray.spaces.dag import DagPart
from autogan_ray.spaces.sizes import generator_cells, generator_layout
from autogan_ray.spaces.space import SearchSpace

NO_SELECTION: Selection = {}


@dataclass(frozen=True)
class Shape:
    """The fixed parts around the decisions.

    Args:
        image_size: side in pixels.
        image_channels: 1 or 3.
        channels_g, channels_d: width of all cells of G and of D.
        latent_dim: length of z.
        norm_g: normalisation in G's DAG cells, ``none`` or ``batch``; None takes the space's.
        head_d: ``sum`` over the last map (published) or ``flatten`` it, before D's linear layer.
        class_shares: how often each class stands in the data, for networks that take classes; empty for none.
    """

    image_size: int
    image_channels: int = 3
    channels_g: int = 256
    channels_d: int = 128
    latent_dim: int = 128
    norm_g: str | None = None
    head_d: str = "sum"
    class_shares: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Raises ConfigError."""
        for name in ("image_channels", "channels_g", "channels_d", "latent_dim"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}: it is a number of at least 1")


class Generator(nn.Module):
    """z [B, latent_dim] -> images [B, image_channels, image_size, image_size] in [-1, 1].

    A class-conditional one takes [B, latent_dim + classes], a one-hot class behind the noise: see ``latents``, which
    draws what it takes. ``stochastic``: whether it also draws noise of its own, from torch's global generator.
    ``layout`` and ``precision`` (None: that of the weights) are those of the activations inside.
    ``running``: how many cells run while it grows, None for all; the smaller images are enlarged to the full side.
    """

    layout = torch.contiguous_format
    precision: torch.dtype | None = None

    def __init__(self, space: SearchSpace, shape: Shape, choices: Choices | None) -> None:
        super().__init__()
        part = space.generator
        self.latent_dim, self.image_size = shape.latent_dim, shape.image_size
        self.latents = Latents(shape.latent_dim, shape.class_shares)
        self.stochastic = False
        self.running: int | None = None
        self.whole: Place | None = None
        places = Places(space.decisions(shape.image_size, "g"), choices)
        if isinstance(part, WholePart):
            self.whole = places.place("g.whole.network", partial(_whole_g, shape=shape))
            self.stochastic = "stylegan2" in self.whole.choices
        else:
            self._build_cells(space, part, shape, places)

    def _build_cells(self, space: SearchSpace, part: DagPart | BlockPart, shape: Shape, places: Places) -> None:
        width = shape.channels_g
        self._bottom, _ = generator_cells(shape.image_size)
        self._width = width
        space.check_latent_dim(shape.latent_dim, shape.image_size)
        parts = space.latent_parts(shape.image_size)
        # The first part of z feeds the first cell, each further part is added to a later cell's input.
        self.latent = nn.ModuleList(
            nn.Linear(shape.latent_dim // parts, width * (self._bottom * 2**index) ** 2) for index in range(parts)
        )
        self._mixtures = Mixtures()
        self.cells = nn.ModuleList()
        for layout in generator_layout(shape.image_size):
            if isinstance(part, DagPart):
                self.cells.append(DagCell(part, "g", layout, width, width, shape.norm_g or part.norm, places))
            else:
                self.cells.append(BlockCell(f"g.cell{layout.number}", layout.number, width, places))
        self.to_image = nn.Sequential(
            batch_norm(width), nn.ReLU(), conv(width, shape.image_channels, 3, spec_norm=False), nn.Tanh()
        )

    def forward(self, z: Tensor, selection: Selection = NO_SELECTION) -> Tensor:
        if z.shape[1] != self.latents.dim + self.latents.classes:
            raise ValueError(_wrong_z(z, self.latents))
        with _precision(z, self.precision):
            images = self._images(z, selection) if self.whole is None else self.whole(z, selection)
        return images if self.precision is None else images.float()

    def _images(self, z: Tensor, selection: Selection) -> Tensor:
        pieces = z.chunk(len(self.latent), dim=1)
        x: Tensor | None = None
        skips: list[Tensor] = []
        cells = [*self.cells][: self.running]  # a slice of the ModuleList itself is a new module
        for index, (cell, ready) in enumerate(zip(cells, self._mixtures.of(cells, selection), strict=True)):
            if index < len(self.latent):
                side = self._bottom * 2**index
                piece = self.latent[index](pieces[index]).view(-1, self._width, side, side)
                piece = piece.contiguous(memory_format=self.layout)
                x = piece if x is None else x + piece
            x, skip = cell(x, skips, selection) if ready is None else cell(x, skips, selection, ready)
            skips.append(skip)
        images: Tensor = self.to_image(x)
        return images if self.running is None else functional.interpolate(images, self.image_size, mode="nearest")


class Discriminator(nn.Module):
    """Images [B, image_channels, image_size, image_size] in [-1, 1] -> scores [B], unbounded.

    A class-conditional one takes the images' classes too, one-hot [B, classes]. ``layout`` and ``precision`` as of
    :class:`Generator`; the head and the scores are float32 at least.
    """

    layout = torch.contiguous_format
    precision: torch.dtype | None = None

    def __init__(self, space: SearchSpace, shape: Shape, choices: Choices | None) -> None:
        super().__init__()
        part, width, side = space.discriminator, shape.channels_d, shape.image_size
        places = Places(space.decisions(shape.image_size, "d"), choices)
        self.whole: Place | None = None
        if isinstance(part, WholePart):
            self.whole = places.place("d.whole.network", partial(_whole_d, shape=shape))
            return
        self._mixtures = Mixtures()
        self.cells = nn.ModuleList()
        for layout in part.layout(shape.image_size):
            c_in = shape.image_channels if layout.first else width
            if isinstance(part, DagPart) and not layout.fixed:
                self.cells.append(DagCell(part, "d", layout, c_in, width, part.norm, places))
            else:
                self.cells.append(FixedBlock(c_in, width, down=layout.level < 0, first=layout.first))
            side = side // 2 if layout.level < 0 else side
        self._flatten = shape.head_d == "flatten"
        inputs = width * side * side if self._flatten else width
        self.head = spectral(nn.Linear(inputs, 1, bias=False))
        fixed = [module for cell in self.cells if isinstance(cell, FixedBlock) for module in cell.modules()]
        self._normed = tuple(filter(is_spectral, [*fixed, self.head]))

    def forward(self, images: Tensor, selection: Selection = NO_SELECTION, classes: Tensor | None = None) -> Tensor:
        images = images.contiguous(memory_format=self.layout)
        if self.whole is not None:
            with _precision(images, self.precision):
                scores = self.whole(images, selection) if classes is None else self._judged(images, classes)
            return scores if self.precision is None else scores.float()
        with _precision(images, self.precision):
            cells = self._mixtures.of(self.cells, selection)
        searched = [layer for ready in cells if ready is not None for layer in ready.prepared.normed]
        with found_together([*searched, *self._normed]):
            with _precision(images, self.precision):
                x = images
                for cell, ready in zip(self.cells, cells, strict=True):
                    x = cell(x) if ready is None else cell(x, (), selection, ready)[0]
            x = torch.relu(x if self.precision is None else x.float())
            x = x.flatten(1) if self._flatten else x.sum(dim=(2, 3))
            return self.head(x).squeeze(1)

    @property
    def takes_classes(self) -> bool:
        """Whether it judges an image with its class."""
        if self.whole is None or self.whole.chosen is None:
            return False
        return bool(self.whole.choices[self.whole.chosen].classes)

    def _judged(self, images: Tensor, classes: Tensor) -> Tensor:
        assert self.whole is not None and self.whole.chosen is not None, "only a derived hand-made D takes classes"
        scores: Tensor = self.whole.choices[self.whole.chosen](images, classes)
        return scores


def _precision(x: Tensor, precision: torch.dtype | None) -> AbstractContextManager[Any]:
    """Autocast on the tensor's device; nothing where the precision is that of the weights."""
    return nullcontext() if precision is None else torch.autocast(x.device.type, precision)


def _wrong_z(z: Tensor, latents: Latents) -> str:
    wanted = f"latent_dim = {latents.dim}"
    if latents.classes:
        wanted += f" and behind them a one-hot class of {latents.classes}: generator.latents.draw makes such z"
    return f"z has {z.shape[1]} columns; this generator takes {wanted}"


def _whole_g(name: str, shape: Shape) -> nn.Module:
    size, channels, width, length = shape.image_size, shape.image_channels, shape.channels_g, shape.latent_dim
    if name == "dcgan":
        return baselines.DcganGenerator(size, channels, width, length)
    if name == "stylegan2":
        return baselines.StyleGan2Generator(size, channels, width, length)
    assert name == "biggan", name
    return baselines.BigGanGenerator(size, channels, width, length, len(shape.class_shares))


def _whole_d(name: str, shape: Shape) -> nn.Module:
    size, channels, width = shape.image_size, shape.image_channels, shape.channels_d
    if name == "dcgan":
        return baselines.DcganDiscriminator(size, channels, width)
    assert name == "biggan", name
    return baselines.BigGanDiscriminator(size, channels, width, len(shape.class_shares))
