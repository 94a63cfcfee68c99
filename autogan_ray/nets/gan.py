"""The generator and the discriminator, each open at the decisions of a search space.

With ``choices=None`` every choice is kept at every decision (a supernet); with a genotype's choices only the chosen
ones are built (a derived network). Nothing else differs.

There are two forms of one mathematics. The plain form is written here, in :mod:`~autogan_ray.nets.dag_cell` (or
:mod:`~autogan_ray.nets.block_cell`) and in :mod:`~autogan_ray.nets.mixed_op`: a network is a chain of cells, a node of
a cell is the sum of its edges, an edge is the weighted sum of its choices. A network that was just built runs like
that. The fast form (:mod:`autogan_ray.nets.fast`) computes the same with fewer and larger operations. It comes in by
one door: :func:`autogan_ray.nets.compute.configured` sets the attribute ``fast`` of a network, which then prepares its
cells before each forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from autogan_ray.nets import baselines
from autogan_ray.nets.block_cell import BlockCell, FixedBlock
from autogan_ray.nets.dag_cell import DagCell
from autogan_ray.nets.mixed_op import MixedOp, MixedOpBuilder
from autogan_ray.nets.ops import batch_norm, conv
from autogan_ray.nets.relaxation import Selection
from autogan_ray.nets.shape import Shape
from autogan_ray.nets.spectral import remove_spectral_norms, spectral
from autogan_ray.spaces.blocks import BlockPart, FixedPart, WholePart
from autogan_ray.spaces.dag import DagPart
from autogan_ray.spaces.sizes import generator_cells, generator_layout
from autogan_ray.spaces.space import SearchSpace

NO_SELECTION: Selection = {}


Choices = Mapping[str, str]
"""decision -> choice: what a derived network is built from. In its place None keeps all choices (a supernet)."""

Cells = Sequence[Callable[..., Any]]
"""A network's cells in order, as modules or as functions with the same arguments."""


class PreparesCells(Protocol):
    """What ``fast`` of a network is."""

    def __call__(self, selection: Selection, running: int | None = None) -> AbstractContextManager[Cells]:
        """The first ``running`` cells (None: all) as functions for one forward pass, which runs inside the context."""


@dataclass(frozen=True)
class Latents:
    """What a generator is fed: noise, and behind it a one-hot class where the network is class-conditional.

    Args:
        dim: length of the noise.
        class_shares: how often each class is drawn, as in the data; empty for a generator without classes.
    """

    dim: int
    class_shares: Sequence[float] = ()

    @property
    def classes(self) -> int:
        return len(self.class_shares)

    def draw(self, count: int, rng: torch.Generator, label: int | None = None) -> Tensor:
        """z float32 [count, dim + classes], on the CPU, so that a run does not depend on the device.

        Args:
            label: this class for all, 0 .. classes - 1; None draws classes by their shares.
        """
        noise = torch.randn(count, self.dim, generator=rng)
        if not self.classes:
            return noise
        if label is None:
            shares = torch.tensor(list(self.class_shares), dtype=torch.float64)
            labels = torch.multinomial(shares, count, replacement=True, generator=rng)
        else:
            labels = torch.full((count,), label)
        return torch.cat([noise, self.one_hot(labels)], dim=1)

    def one_hot(self, labels: Tensor) -> Tensor:
        """float32 [B, classes] of int64 [B]."""
        return functional.one_hot(labels, self.classes).float()

    def classes_of(self, z: Tensor) -> Tensor | None:
        """The one-hot part [B, classes] of a drawn z; None without classes."""
        return z[:, self.dim :] if self.classes else None


class Generator(nn.Module):
    """z [B, latent_dim] -> images [B, image_channels, image_size, image_size] in [-1, 1].

    A class-conditional generator takes [B, latent_dim + classes], a one-hot class behind the noise: ``latents`` draws
    what it takes. ``stochastic``: whether it also draws noise of its own, from torch's global generator.
    ``running``: how many cells run while it grows, None for all; the smaller images are enlarged to the full side.
    ``layout`` and ``precision`` (None: that of the weights) are those of the activations inside; ``fast`` prepares the
    cells of the fast form, None runs them as they are written. :func:`~autogan_ray.nets.compute.configured` sets these.
    """

    layout = torch.contiguous_format
    precision: torch.dtype | None = None
    fast: PreparesCells | None = None

    def __init__(self, space: SearchSpace, shape: Shape, choices: Choices | None) -> None:
        super().__init__()
        part = space.generator
        self.latent_dim, self.image_size = shape.latent_dim, shape.image_size
        self.latents = Latents(shape.latent_dim, shape.class_shares)
        self.stochastic = False
        self.running: int | None = None
        self.whole: MixedOp | None = None
        ops = MixedOpBuilder(space.decisions(shape.image_size, "g"), choices)
        if isinstance(part, WholePart):
            self.whole = ops.build("g.whole.network", partial(_whole_g, shape=shape))
            self.stochastic = "stylegan2" in self.whole.choices
        else:
            self._build_cells(space, part, shape, ops)

    def _build_cells(self, space: SearchSpace, part: DagPart | BlockPart, shape: Shape, ops: MixedOpBuilder) -> None:
        width = self._width = shape.channels_g
        self._bottom, _ = generator_cells(shape.image_size)
        space.check_latent_dim(shape.latent_dim, shape.image_size)
        parts = space.latent_parts(shape.image_size)
        # The first part of z feeds the first cell, each further part is added to a later cell's input.
        self.latent = nn.ModuleList(
            nn.Linear(shape.latent_dim // parts, width * (self._bottom * 2**index) ** 2) for index in range(parts)
        )
        self.cells = nn.ModuleList()
        for layout in generator_layout(shape.image_size):
            if isinstance(part, DagPart):
                self.cells.append(DagCell(part, "g", layout, width, width, shape.norm_g or part.norm, ops))
            else:
                assert isinstance(part, BlockPart), f"no cell is known here for a part of kind {part.kind!r}"
                self.cells.append(BlockCell(f"g.cell{layout.number}", layout.number, width, ops))
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
        with _prepared(self, selection, self.running) as cells:
            for index, cell in enumerate(cells):
                if index < len(self.latent):
                    side = self._bottom * 2**index
                    piece = self.latent[index](pieces[index]).view(-1, self._width, side, side)
                    piece = piece.contiguous(memory_format=self.layout)
                    x = piece if x is None else x + piece
                x, skip = cell(x, skips, selection)
                skips.append(skip)
        images: Tensor = self.to_image(x)
        return images if self.running is None else functional.interpolate(images, self.image_size, mode="nearest")


class Discriminator(nn.Module):
    """Images [B, image_channels, image_size, image_size] in [-1, 1] -> scores [B], unbounded.

    A class-conditional discriminator takes the images' classes too, one-hot [B, classes]. ``layout``, ``precision`` and
    ``fast`` as of :class:`Generator`; the head and the scores are float32 at least, to which hand-made networks see
    themselves. Weights are divided by their spectral norms where the parts of the space say so, unless the shape says
    that none are.
    """

    layout = torch.contiguous_format
    precision: torch.dtype | None = None
    fast: PreparesCells | None = None

    def __init__(self, space: SearchSpace, shape: Shape, choices: Choices | None) -> None:
        super().__init__()
        part = space.discriminator
        ops = MixedOpBuilder(space.decisions(shape.image_size, "d"), choices)
        self.whole: MixedOp | None = None
        if isinstance(part, WholePart):
            self.whole = ops.build("d.whole.network", partial(_whole_d, shape=shape))
        else:
            self._build_cells(part, shape, ops)
        if not shape.spectral_norm_d:
            remove_spectral_norms(self)

    def _build_cells(self, part: DagPart | FixedPart, shape: Shape, ops: MixedOpBuilder) -> None:
        width, side = shape.channels_d, shape.image_size
        self.cells = nn.ModuleList()
        for layout in part.layout(shape.image_size):
            c_in = shape.image_channels if layout.first else width
            if isinstance(part, DagPart) and not layout.fixed:
                self.cells.append(DagCell(part, "d", layout, c_in, width, part.norm, ops))
            else:
                self.cells.append(FixedBlock(c_in, width, down=layout.level < 0, first=layout.first))
            side = side // 2 if layout.level < 0 else side
        self._flatten = shape.head_d == "flatten"
        inputs = width * side * side if self._flatten else width
        self.head = spectral(nn.Linear(inputs, 1, bias=False))

    def forward(self, images: Tensor, selection: Selection = NO_SELECTION, classes: Tensor | None = None) -> Tensor:
        images = images.contiguous(memory_format=self.layout)
        if self.whole is not None:
            with _precision(images, self.precision):
                return self.whole(images, selection) if classes is None else self._judged(images, classes)
        with _prepared(self, selection) as cells:
            x = images
            with _precision(images, self.precision):
                for cell in cells:
                    x = cell(x) if isinstance(cell, FixedBlock) else cell(x, (), selection)[0]
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
        return self.whole.choices[self.whole.chosen](images, classes)


def _prepared(
    network: Generator | Discriminator, selection: Selection, running: int | None = None
) -> AbstractContextManager[Cells]:
    """The first ``running`` cells (None: all) for one forward pass: as they are written, or in the fast form."""
    if network.fast is None:
        return nullcontext([*network.cells][:running])  # a slice of the ModuleList itself is a new module
    return network.fast(selection, running)


def _precision(x: Tensor, precision: torch.dtype | None) -> AbstractContextManager[Any]:
    """Autocast on the tensor's device; nothing where the precision is that of the weights."""
    return nullcontext() if precision is None else torch.autocast(x.device.type, precision)


def _wrong_z(z: Tensor, latents: Latents) -> str:
    wanted = f"latent_dim = {latents.dim}"
    if latents.classes:
        wanted += f" and behind them a one-hot class of {latents.classes}: generator.latents.draw makes such z"
    return f"z has {z.shape[1]} columns; this generator takes {wanted}"


def _whole_g(name: str, shape: Shape) -> nn.Module:
    sizes = shape.image_size, shape.image_channels, shape.channels_g, shape.latent_dim
    if name == "biggan":
        return baselines.BigGanGenerator(*sizes, len(shape.class_shares))
    if name == "dcgan":
        return baselines.DcganGenerator(*sizes)
    if name == "stylegan2":
        return baselines.StyleGan2Generator(*sizes)
    assert name == "r3gan", name
    return baselines.R3GanGenerator(*sizes)


def _whole_d(name: str, shape: Shape) -> nn.Module:
    size, channels, width = shape.image_size, shape.image_channels, shape.channels_d
    if name == "biggan":
        return baselines.BigGanDiscriminator(size, channels, width, len(shape.class_shares))
    if name == "dcgan":
        return baselines.DcganDiscriminator(size, channels, width)
    assert name == "r3gan", name
    return baselines.R3GanDiscriminator(size, channels, width)
