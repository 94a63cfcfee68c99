"""The networks of a search space in their plain form: what the product's speed is measured against.

Every operation of every decision is a module call of its own and its output is multiplied by its own weight; nothing
is shared, merged or left out. fp32, contiguous memory format, torch's own spectral norm. It is written over the values
of a space (names, edges, layouts) and over torch alone: no forward pass of ``autogan_ray.nets`` is called here, so it
stays plain whatever that becomes. Parameters and buffers have the product's names, so that ``load_state_dict`` of its
state makes both the same function; ``_agreement.py`` holds them together.

How a search steps with them is in ``_textbook_loops.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from _textbook_ops import Mixed, Nested, Nothing, Repeated, Weights, block_norm, conv, operation, resize, upsample
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from autogan_ray.base.errors import ConfigError
from autogan_ray.nets.gan import Shape
from autogan_ray.spaces.blocks import BlockPart, WholePart
from autogan_ray.spaces.dag import INPUT, PLAIN, DagPart
from autogan_ray.spaces.sizes import CellLayout, generator_cells, generator_layout
from autogan_ray.spaces.space import SearchSpace

Choices = Mapping[str, str] | None
"""decision -> choice, of a derived network; None keeps all choices."""


class Cell(nn.Module):
    """A cell whose decisions are the edges of a DAG."""

    def __init__(
        self, part: DagPart, network: str, layout: CellLayout, c_in: int, c_out: int, norm: str, choices: Choices
    ) -> None:
        super().__init__()
        cell, lead, affine = part.cell, f"{network}.cell{layout.number}", choices is not None
        self.cell, self.plan, self.levels = cell, part.edges(layout), part.levels(layout)
        self.mode = cell.skip_modes[(layout.number - 1) % len(cell.skip_modes)]
        self.edges, self.skips = nn.ModuleDict(), nn.ModuleList()
        for edge in self.plan:
            if edge.choices != PLAIN:
                source = c_in if edge.source == INPUT else c_out
                made = {
                    name: operation(name, source, c_out, norm, edge.activation, affine)
                    for name in part.choices[edge.choices]
                }
                self.edges[edge.name] = _mixed(f"{lead}.{edge.name}", made, choices)
        for earlier in range(1, layout.number) if cell.skip_in is not None else ():
            if cell.skip_choices is None:
                self.skips.append(conv(c_out, c_out, 1, False))
                continue
            made = {
                name: Repeated(operation(name, c_out, c_out, norm, True, affine), layout.number - earlier)
                for name in part.choices[cell.skip_choices]
            }
            self.skips.append(_mixed(f"{lead}.skip{earlier}", made, choices))

    def forward(self, x: Tensor, skips: list[Tensor], weights: Weights) -> tuple[Tensor, Tensor]:
        """(output, skip output)."""
        values = {INPUT: x}
        for node in self.cell.order:
            total: Tensor | None = None
            for edge in self.plan:
                if edge.target == node:
                    source = values[edge.source]
                    part = source if edge.choices == PLAIN else self.edges[edge.name](source, weights)
                    total = part if total is None else total + part
            assert total is not None
            if node == self.cell.skip_in:
                side = int(x.shape[-1] * 2.0 ** self.levels[node])
                for skip, module in zip(skips, self.skips, strict=True):
                    searched = isinstance(module, Mixed)
                    total = total + (module(skip, weights) if searched else module(resize(skip, side, self.mode)))
            values[node] = total
        return values[self.cell.output], values[self.cell.skip_out or self.cell.output]


def _mixed(decision: str, made: Mapping[str, nn.Module], choices: Choices) -> Mixed:
    return Mixed(decision, made, None if choices is None else choices[decision])


class _Up(nn.Module):
    """Doubles the side ``times`` times: by interpolation, or by 2x2 transposed convolutions."""

    def __init__(self, name: str, channels: int, times: int = 1) -> None:
        super().__init__()
        steps = [nn.ConvTranspose2d(channels, channels, 2, stride=2) for _ in range(times if name == "deconv" else 0)]
        self.layers = nn.Sequential(*steps) if steps else upsample(name, times)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class _Unit(Nested):
    """AutoGAN's convolution, with norm and ReLU before it (``pre``) or after it (``post``)."""

    def __init__(self, order: str, part: BlockPart, channels: int, lead: str, up: bool, choices: Choices) -> None:
        super().__init__()
        self.pre = order == "pre"
        self.norm = _mixed(f"{lead}.norm", {name: block_norm(name, channels) for name in part.norm}, choices)
        self.up = _mixed(f"{lead}.up", {name: _Up(name, channels) for name in part.up}, choices) if up else None
        self.conv = conv(channels, channels, 3, False)

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        if self.pre:
            x = torch.relu(self.norm(x, weights))
        x = self.conv(x if self.up is None else self.up(x, weights))
        return x if self.pre else torch.relu(self.norm(x, weights))


class _Skip(Nested):
    """An earlier cell's output, enlarged, through a 1x1 convolution."""

    def __init__(self, part: BlockPart, channels: int, lead: str, times: int, choices: Choices) -> None:
        super().__init__()
        self.up = _mixed(f"{lead}.up", {name: _Up(name, channels, times) for name in part.up}, choices)
        self.conv = conv(channels, channels, 1, False)

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        return self.conv(self.up(x, weights))


class Block(nn.Module):
    """AutoGAN's generator cell: h = unit1(x) + skips; out = unit2(h) + shortcut(x)."""

    def __init__(self, part: BlockPart, number: int, channels: int, choices: Choices) -> None:
        super().__init__()
        lead = f"g.cell{number}"

        def unit(up: bool) -> Mixed:
            made: dict[str, nn.Module] = {order: _Unit(order, part, channels, lead, up, choices) for order in part.conv}
            return _mixed(f"{lead}.conv", made, choices)

        def maybe(name: str, options: tuple[str, ...], times: int) -> Mixed:
            made = {o: _Skip(part, channels, lead, times, choices) if o == "yes" else Nothing() for o in options}
            return _mixed(f"{lead}.{name}", made, choices)

        self.unit1, self.unit2 = unit(True), unit(False)
        self.shortcut = maybe("shortcut", part.shortcut, 1)
        self.skips = nn.ModuleList(maybe(f"skip{k}", part.skip, number - k) for k in range(1, number))

    def forward(self, x: Tensor, skips: list[Tensor], weights: Weights) -> tuple[Tensor, Tensor]:
        """(output, skip output)."""
        h = self.unit1(x, weights)
        for skip, module in zip(skips, self.skips, strict=True):
            added = module(skip, weights)
            h = h if added is None else h + added
        out, added = self.unit2(h, weights), self.shortcut(x, weights)
        return (out if added is None else out + added), h


class FixedBlock(nn.Module):
    """One block of AutoGAN's discriminator."""

    def __init__(self, c_in: int, c_out: int, down: bool, first: bool) -> None:
        super().__init__()
        self.down, self.first = down, first
        self.conv1, self.conv2 = conv(c_in, c_out, 3, True), conv(c_out, c_out, 3, True)
        self.shortcut = conv(c_in, c_out, 1, True) if down or c_in != c_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        main = self.conv2(torch.relu(self.conv1(x if self.first else torch.relu(x))))
        if not self.down:
            return main + self.shortcut(x)
        if self.first:
            return functional.avg_pool2d(main, 2) + self.shortcut(functional.avg_pool2d(x, 2))
        return functional.avg_pool2d(main, 2) + functional.avg_pool2d(self.shortcut(x), 2)


def _whole(space: SearchSpace) -> ConfigError:
    return ConfigError(
        f"space {space.name!r}: a hand-made network as a whole mixes no operations; take one of cells or blocks, such "
        "as 'adversarialnas'"
    )


class Generator(nn.Module):
    """z [B, latent_dim] -> images [B, C, H, W] in [-1, 1]. Raises ConfigError for a hand-made whole."""

    def __init__(self, space: SearchSpace, shape: Shape, choices: Choices = None) -> None:
        super().__init__()
        part, width, size = space.generator, shape.channels_g, shape.image_size
        if isinstance(part, WholePart):
            raise _whole(space)
        self.width, self.bottom, parts = width, generator_cells(size)[0], space.latent_parts(size)
        self.latent = nn.ModuleList(
            nn.Linear(shape.latent_dim // parts, width * (self.bottom * 2**index) ** 2) for index in range(parts)
        )
        self.cells = nn.ModuleList(
            Cell(part, "g", layout, width, width, shape.norm_g or part.norm, choices)
            if isinstance(part, DagPart)
            else Block(part, layout.number, width, choices)
            for layout in generator_layout(size)
        )
        last = conv(width, shape.image_channels, 3, False)
        self.to_image = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), last, nn.Tanh())

    def forward(self, z: Tensor, weights: Weights) -> Tensor:
        pieces = z.chunk(len(self.latent), dim=1)
        skips: list[Tensor] = []
        x: Tensor | None = None
        for index, cell in enumerate(self.cells):
            if index < len(self.latent):
                side = self.bottom * 2**index
                piece = self.latent[index](pieces[index]).view(-1, self.width, side, side)
                x = piece if x is None else x + piece
            x, skip = cell(x, skips, weights)
            skips.append(skip)
        return self.to_image(x)


class Discriminator(nn.Module):
    """Images [B, C, H, W] -> scores [B]."""

    def __init__(self, space: SearchSpace, shape: Shape, choices: Choices = None) -> None:
        super().__init__()
        part, width, side = space.discriminator, shape.channels_d, shape.image_size
        if isinstance(part, WholePart):
            raise _whole(space)
        self.cells = nn.ModuleList()
        for layout in part.layout(shape.image_size):
            c_in, down = shape.image_channels if layout.first else width, layout.level < 0
            if isinstance(part, DagPart) and not layout.fixed:
                self.cells.append(Cell(part, "d", layout, c_in, width, part.norm, choices))
            else:
                self.cells.append(FixedBlock(c_in, width, down, layout.first))
            side = side // 2 if down else side
        self.flat = shape.head_d == "flatten"
        self.head = spectral_norm(nn.Linear(width * side * side if self.flat else width, 1, bias=False))

    def forward(self, images: Tensor, weights: Weights) -> Tensor:
        x = images
        for cell in self.cells:
            x = cell(x) if isinstance(cell, FixedBlock) else cell(x, [], weights)[0]
        x = torch.relu(x)
        return self.head(x.flatten(1) if self.flat else x.sum(dim=(2, 3))).squeeze(1)
