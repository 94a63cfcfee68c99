"""The vocabulary: every operation a search space may name, and what it does to the image side.

A value module: the modules behind the names are in ``nets/ops.py``; a test holds the two
lists equal and in the same order, another one the table in ``docs/spaces.md``.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

NONE = "none"
SKIP = "skip"


@dataclass(frozen=True)
class Operation:
    """One candidate: ``level`` is +1 where it doubles height and width, -1 where it halves them, else 0."""

    name: str
    level: int
    description: str
    projects: bool = True
    """True where the operation can change the number of channels."""
    batch_norm: bool = False
    """True where the operation has batch norms of its own, which only spectral norms take the place of."""


def _table(*operations: Operation) -> Mapping[str, Operation]:
    return MappingProxyType({operation.name: operation for operation in operations})


BLOCKS: Mapping[str, tuple[str, int, int]] = MappingProxyType(
    {
        f"{kind}_block_{kernel}x{kernel}_e{expansion}": (kind, kernel, expansion)
        for kind, kernel, expansion in itertools.product(("dense", "grouped", "depthwise"), (3, 5), (1, 2))
    }
)
"""The residual blocks -> kind and kernel of their middle convolution, and its channels as a multiple of the block's."""


def _block(name: str, kind: str, kernel: int, expansion: int) -> Operation:
    middle = f"{kernel}x{kernel}" if kind == "dense" else f"{kind} {kernel}x{kernel}"
    width = "as wide" if expansion == 1 else "twice as wide"
    return Operation(name, 0, f"residual: 1x1, {middle}, 1x1, {width} inside", projects=False)


# Structures after AdversarialNAS (Gao et al., CVPR 2020): each convolution is led by a ReLU. The separable ones and
# the bare up-samplings after alphaGAN (Tian et al., 2020), the residual blocks after R3GAN (Huang et al., 2024), the
# attention after SAGAN (Zhang et al., 2019).
OPERATIONS = _table(
    Operation(NONE, 0, "no connection", projects=False),
    Operation(SKIP, 0, "identity", projects=False),
    Operation("conv_1x1", 0, "1x1 convolution"),
    Operation("conv_3x3", 0, "3x3 convolution"),
    Operation("conv_5x5", 0, "5x5 convolution"),
    Operation("dil_conv_3x3", 0, "3x3 convolution, dilation 2"),
    Operation("dil_conv_5x5", 0, "5x5 convolution, dilation 2"),
    Operation("sep_conv_3x3", 0, "twice: depthwise 3x3, pointwise, batch norm", batch_norm=True),
    Operation("sep_conv_5x5", 0, "twice: depthwise 5x5, pointwise, batch norm", batch_norm=True),
    Operation("sep_conv_7x7", 0, "twice: depthwise 7x7, pointwise, batch norm", batch_norm=True),
    *(_block(name, *form) for name, form in BLOCKS.items()),
    Operation("attention", 0, "residual: self-attention over the map", projects=False),
    Operation("nearest", +1, "nearest-neighbour up", projects=False),
    Operation("bilinear", +1, "bilinear up", projects=False),
    Operation("deconv_2x2", +1, "2x2 transposed convolution, stride 2, no ReLU before it"),
    Operation("nearest_conv_1x1", +1, "nearest-neighbour up, then 1x1 convolution"),
    Operation("bilinear_conv_1x1", +1, "bilinear up, then 1x1 convolution"),
    Operation("deconv_3x3_depthwise", +1, "depthwise 3x3 transposed convolution, then 1x1 convolution"),
    Operation("avg_pool", -1, "2x2 average pool", projects=False),
    Operation("max_pool", -1, "2x2 max pool", projects=False),
    Operation("down_conv_3x3", -1, "3x3 convolution, stride 2"),
    Operation("down_conv_5x5", -1, "5x5 convolution, stride 2"),
    Operation("down_dil_conv_3x3", -1, "3x3 convolution, stride 2, dilation 2"),
    Operation("down_dil_conv_5x5", -1, "5x5 convolution, stride 2, dilation 2"),
)
