"""AutoGAN's blocks: the generator's residual cell, whose parts are mixed operations, and the fixed discriminator's.

The cell serves the supernet and the derived network alike; only its mixed operations differ.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from autogan_ray.nets.mixed_op import MixedOp, MixedOpBuilder, Nested
from autogan_ray.nets.ops import Zero, batch_norm, conv, upsample
from autogan_ray.nets.relaxation import Selection


def _norm(name: str, channels: int) -> nn.Module:
    if name == "batch":
        return batch_norm(channels)
    return nn.InstanceNorm2d(channels) if name == "instance" else nn.Identity()


class _Up(nn.Module):
    """Doubles the side ``times`` times: interpolation in one go, or a chain of 2x2 transposed convolutions."""

    def __init__(self, name: str, channels: int, times: int = 1) -> None:
        super().__init__()
        if name == "deconv":
            layers = [nn.ConvTranspose2d(channels, channels, 2, stride=2) for _ in range(times)]
            self.layers: nn.Module = nn.Sequential(*layers)
        else:
            self.layers = upsample(name, 2**times)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class _Unit(Nested):
    """A convolution with its normalisation and ReLU before it (``pre``) or after it (``post``), up-sampling or not."""

    def __init__(self, order: str, channels: int, lead: str, ops: MixedOpBuilder, up: bool) -> None:
        super().__init__()
        self._pre = order == "pre"
        self.norm = ops.build(f"{lead}.norm", lambda name: _norm(name, channels))
        self.up = ops.build(f"{lead}.up", lambda name: _Up(name, channels)) if up else None
        self.conv = conv(channels, channels, 3, spec_norm=False)

    def forward(self, x: Tensor, selection: Selection) -> Tensor:
        if self._pre:
            x = torch.relu(self.norm(x, selection))
        if self.up is not None:
            x = self.up(x, selection)
        x = self.conv(x)
        return x if self._pre else torch.relu(self.norm(x, selection))


class _Skip(Nested):
    """A skip from an earlier cell: resized in this cell's manner, then a 1x1 convolution."""

    def __init__(self, channels: int, lead: str, ops: MixedOpBuilder, times: int) -> None:
        super().__init__()
        self.up = ops.build(f"{lead}.up", lambda name: _Up(name, channels, times))
        self.conv = conv(channels, channels, 1, spec_norm=False)

    def forward(self, x: Tensor, selection: Selection) -> Tensor:
        return self.conv(self.up(x, selection))


class BlockCell(nn.Module):
    """AutoGAN's generator cell (Gong et al., ICCV 2019): h = unit1(x) + skips; out = unit2(h) + shortcut(x).

    The sums are out of place, and the skip output is h after its additions, as in the published code.
    """

    def __init__(self, lead: str, number: int, channels: int, ops: MixedOpBuilder) -> None:
        super().__init__()

        def unit(up: bool) -> MixedOp:
            return ops.build(f"{lead}.conv", lambda order: _Unit(order, channels, lead, ops, up))

        def maybe(name: str, times: int) -> MixedOp:
            return ops.build(
                f"{lead}.{name}", lambda yes: _Skip(channels, lead, ops, times) if yes == "yes" else Zero()
            )

        self.unit1, self.unit2 = unit(up=True), unit(up=False)
        self.shortcut = maybe("shortcut", 1)
        # An earlier cell's skip output is as large as its output: cell j of k is k - j doublings smaller.
        self.skips = nn.ModuleList(maybe(f"skip{earlier}", number - earlier) for earlier in range(1, number))

    def forward(self, x: Tensor, skips: Sequence[Tensor], selection: Selection) -> tuple[Tensor, Tensor]:
        """(output, skip output), both [B, C, 2H, 2W].

        Args:
            x: [B, C, H, W].
            skips: the skip outputs of the earlier cells.
        """
        h = self.unit1(x, selection)
        for skip, op in zip(skips, self.skips, strict=True):
            assert isinstance(op, MixedOp)
            if op.connects(selection):
                h = h + op(skip, selection)
        output = self.unit2(h, selection)
        return (output + self.shortcut(x, selection) if self.shortcut.connects(selection) else output), h


class FixedBlock(nn.Module):
    """One residual block of AutoGAN's discriminator, spectral norm on every convolution.

    Args:
        first: the first block reads the image: no ReLU before its first convolution, and its shortcut pools first.
        down: halve the image side by a 2x2 average pool.
    """

    def __init__(self, c_in: int, c_out: int, down: bool, first: bool = False) -> None:
        super().__init__()
        self._down, self._first = down, first
        self.conv1 = conv(c_in, c_out, 3, spec_norm=True)
        self.conv2 = conv(c_out, c_out, 3, spec_norm=True)
        # The last two blocks keep size and channels: their shortcut is the identity.
        self.shortcut = conv(c_in, c_out, 1, spec_norm=True) if down or c_in != c_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        main = self.conv2(torch.relu(self.conv1(x if self._first else torch.relu(x))))
        if not self._down:
            return main + self.shortcut(x)
        if self._first:
            return functional.avg_pool2d(main, 2) + self.shortcut(functional.avg_pool2d(x, 2))
        return functional.avg_pool2d(main, 2) + functional.avg_pool2d(self.shortcut(x), 2)
