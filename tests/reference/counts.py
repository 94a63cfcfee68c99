"""Closed forms of the networks' numbers of parameters and multiply-accumulates, from the papers' descriptions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

CELLS = 3


@dataclass(frozen=True)
class Count:
    """Trainable parameters, and the multiply-accumulates (MACs) of one image."""

    params: int = 0
    macs: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.params + other.params, self.macs + other.macs)


def _total(counts: Iterable[Count]) -> Count:
    return sum(counts, Count())


def _layer(weights: int, biases: int, positions: int) -> Count:
    """A layer whose weights are each used at so many positions of one image."""
    return Count(weights + biases, weights * positions)


def _conv(channels: int, kernel: int, side: int) -> Count:
    """A convolution between C channels, with bias; ``side`` is that of its output."""
    return _layer(kernel * kernel * channels * channels, channels, side * side)


def _deconv(channels: int, side: int) -> Count:
    """The transposed convolution of kernel 2 and stride 2, with bias; ``side`` is that of its input."""
    return _layer(4 * channels * channels, channels, side * side)


def _ends(channels: int, latent: int, sides: tuple[int, ...], size: int) -> Count:
    """The linear layers from the equal parts of z to maps of these sides, and BN with the 3x3 convolution to RGB."""
    linear = (_layer(latent // len(sides) * channels * side**2, channels * side**2, 1) for side in sides)
    return _total(linear) + Count(2 * channels) + _layer(27 * channels, 3, size * size)


def autogan(genes: tuple[int, ...], channels: int, latent: int, bottom: int) -> Count:
    """By the 14 genes of the paper's encoding (see ``published.autogan_choices``); Gong et al., ICCV 2019."""
    rows = (genes[:4], genes[4:9], genes[9:14])
    total = _ends(channels, latent, (bottom,), bottom << CELLS)
    for cell, (_, norm, up, shortcut, *skips) in enumerate(rows):
        below, side = bottom << cell, bottom << (cell + 1)
        raised = _deconv(channels, below) if up == 2 else Count()
        total += _conv(channels, 3, side) + _conv(channels, 3, side) + raised
        total += Count(4 * channels if norm == 1 else 0)
        if shortcut:
            total += _conv(channels, 1, side) + raised
        mask = skips[0] if skips else 0
        for earlier in range(cell):
            if mask >> (cell - 1 - earlier) & 1:
                total += _conv(channels, 1, side)
                if up == 2:
                    total += _total(_deconv(channels, bottom << step) for step in range(earlier + 1, cell + 1))
    return total


def adversarialnas(choices: Mapping[str, str], channels: int, latent: int, bottom: int, parts: int) -> Count:
    """The derived generator of Gao et al., CVPR 2020, with z in so many parts; also EAGAN's, Ying et al., ECCV 2022.

    An up-sampling that only edges ``none`` read has parameters and is not computed.
    """
    total = _ends(channels, latent, tuple(bottom << index for index in range(parts)), bottom << CELLS)
    for cell in range(CELLS):
        below, side = bottom << cell, bottom << (cell + 1)
        mine = {name: choices[f"g.cell{cell + 1}.{name}"] for name in ("u0", "u1", "e0", "e1", "e2", "e3", "e4")}
        for name, readers in (("u0", "e0 e2"), ("u1", "e1 e3")):
            if mine[name] == "deconv_3x3_depthwise":
                up = _layer(9 * channels, 0, below**2) + _layer(channels**2, 0, side**2)
            else:
                up = _conv(channels, 1, side)
            read = any(mine[reader] != "none" for reader in readers.split())
            total += up if read else Count(up.params)
        total += _total(_normal(mine[f"e{index}"], channels, side) for index in range(5))
        total += _total(_conv(channels, 1, side) for _ in range(cell))
    return total


def _normal(choice: str, channels: int, side: int) -> Count:
    """An operation that keeps the side; its convolution may be dilated."""
    return Count() if choice in ("none", "skip") else _conv(channels, int(choice[-1]), side)


def alphagan(choices: Mapping[str, str], channels: int, latent: int, bottom: int) -> Count:
    """The derived generator of Tian et al., TPAMI 2021; a skip of ratio 4 uses its one transposed convolution twice."""
    total = _ends(channels, latent, (bottom,), bottom << CELLS)
    for name, choice in choices.items():
        if name[0] != "g":
            continue
        cell, edge = int(name[len("g.cell")]) - 1, name.split(".")[2]
        side = bottom << (cell + 1)
        if choice == "deconv_2x2":
            first = int(edge[-1]) if edge.startswith("skip") else cell
            positions = sum((bottom << step) ** 2 for step in range(first, cell + 1))
            total += _layer(4 * channels * channels, channels, positions)
        elif choice.startswith("sep_conv"):
            kernel = int(choice[-1])
            once = _layer(kernel * kernel * channels + channels * channels, 0, side * side) + Count(2 * channels)
            total += once + once
        elif choice.startswith("conv"):
            total += _conv(channels, int(choice[-1]), side)
    return total


def _first_block(channels: int, size: int) -> Count:
    """AutoGAN's: two 3x3 convolutions, then the shortcut's 1x1 convolution of the halved image."""
    return (
        _layer(27 * channels, channels, size**2)
        + _conv(channels, 3, size)
        + _layer(3 * channels, channels, (size // 2) ** 2)
    )


def fixed_d(channels: int, size: int) -> Count:
    """The discriminator of Gong et al., ICCV 2019: four blocks and a linear layer without bias."""
    half, quarter = size // 2, size // 4
    second = _conv(channels, 3, half) + _conv(channels, 3, half) + _conv(channels, 1, half)
    rest = _total(_conv(channels, 3, quarter) for _ in range(4))
    return _first_block(channels, size) + second + rest + Count(channels, channels)


def eagan_d(choices: Mapping[str, str], channels: int, size: int) -> Count:
    """The derived discriminator of Ying et al., ECCV 2022: AutoGAN's first block, then cells of which one halves."""
    total = _first_block(channels, size) + Count(channels, channels)
    for name, choice in choices.items():
        if name[0] == "d":
            cell, edge = int(name[len("d.cell")]), name.split(".")[2]
            side = size // 2 if cell == 2 and edge[0] == "e" else size // 4
            total += Count() if choice.endswith("pool") else _normal(choice, channels, side)
    return total
