"""Closed forms of the generators' numbers of parameters, from the papers' descriptions."""

from __future__ import annotations

from collections.abc import Mapping

CELLS = 3


def _conv(channels: int, kernel: int) -> int:
    """A convolution between C channels, with bias."""
    return kernel * kernel * channels * channels + channels


def _ends(channels: int, latent: int, sides: tuple[int, ...]) -> int:
    """The linear layers from the equal parts of z to maps of these sides, and BN with the 3x3 convolution to RGB."""
    part = latent // len(sides)
    return sum((part + 1) * channels * side * side for side in sides) + 2 * channels + 3 * (9 * channels + 1)


def autogan(genes: tuple[int, ...], channels: int, latent: int, bottom: int) -> int:
    """By the 14 genes of the paper's encoding (see ``published.autogan_choices``); Gong et al., ICCV 2019."""
    rows = (genes[:4], genes[4:9], genes[9:14])
    total = _ends(channels, latent, (bottom,))
    for cell, (_, norm, up, shortcut, *skips) in enumerate(rows):
        deconv = _conv(channels, 2) if up == 2 else 0
        total += 2 * _conv(channels, 3) + deconv + (4 * channels if norm == 1 else 0)
        total += shortcut * (_conv(channels, 1) + deconv)
        mask = skips[0] if skips else 0
        for earlier in range(cell):
            doublings = cell - earlier
            enabled = mask >> (cell - 1 - earlier) & 1
            total += enabled * (_conv(channels, 1) + doublings * deconv)
    return total


def adversarialnas(choices: Mapping[str, str], channels: int, latent: int, bottom: int) -> int:
    """The derived generator of Gao et al., CVPR 2020: z in three parts at bottom 4, in two at bottom 6."""
    sides = (bottom, 2 * bottom) if bottom == 6 else (bottom, 2 * bottom, 4 * bottom)
    sizes = {
        "nearest_conv_1x1": _conv(channels, 1),
        "bilinear_conv_1x1": _conv(channels, 1),
        "deconv_3x3_depthwise": 9 * channels + channels * channels,
        "none": 0,
        "skip": 0,
    }
    sizes |= {f"{kind}_{k}x{k}": _conv(channels, k) for k in (1, 3, 5) for kind in ("conv", "dil_conv")}
    skips = CELLS * (CELLS - 1) // 2 * _conv(channels, 1)
    return _ends(channels, latent, sides) + skips + sum(sizes[c] for name, c in choices.items() if name[0] == "g")


def alphagan(choices: Mapping[str, str], channels: int, latent: int, bottom: int) -> int:
    """The derived generator of Tian et al., TPAMI 2021; a skip of ratio 4 uses its one transposed convolution twice."""
    sizes = {"nearest": 0, "bilinear": 0, "deconv_2x2": _conv(channels, 2)}
    sizes |= {f"conv_{k}x{k}": _conv(channels, k) for k in (1, 3, 5)}
    sizes |= {f"sep_conv_{k}x{k}": 2 * (k * k * channels + channels * channels + 2 * channels) for k in (3, 5, 7)}
    return _ends(channels, latent, (bottom,)) + sum(sizes[c] for name, c in choices.items() if name[0] == "g")
