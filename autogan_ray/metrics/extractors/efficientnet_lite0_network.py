"""EfficientNet-Lite0 in evaluation mode: the layers of its published specification, with the names of its weights file.

EfficientNet-B0 (Tan and Le, ICML 2019, table 1) without squeeze-and-excitation and with ReLU6 in place of Swish, as its
authors' Lite variants have it. It is written out here because no library that is kept up has it alone: the package
``efficientnet_lite_pytorch`` has one author and one release, of 2020; torchvision's EfficientNet cannot leave out
squeeze-and-excitation; timm has it beside a thousand others, with a client for downloads and other names of the
weights. A test holds it to the first of these in float64 where that package is installed.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

STAGES = (
    (1, 1, 1, 3, 16),
    (2, 6, 2, 3, 24),
    (2, 6, 2, 5, 40),
    (3, 6, 2, 3, 80),
    (3, 6, 1, 5, 112),
    (4, 6, 2, 5, 192),
    (1, 6, 1, 3, 320),
)
"""Of each stage: number of blocks, expansion, stride of the first block, side of the kernel, output channels."""


class EfficientNetLite0(nn.Module):
    """Floats [B, 3, S, S], S a multiple of 32, at (level - 127) / 128 -> features [B, 1280], ImageNet logits [B, 1000].

    Attributes are named as in the weights file, so that ``load_state_dict`` holds one to the other.
    """

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = _convolution(3, 32, 3, stride=2), _norm(32)
        blocks, channels = [], 32
        for count, expansion, stride, kernel, out_channels in STAGES:
            for index in range(count):
                blocks.append(Block(channels, out_channels, expansion, kernel, stride if index == 0 else 1))
                channels = out_channels
        self._blocks = nn.Sequential(*blocks)
        self._conv_head, self._bn1 = _convolution(channels, 1280, 1), _norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = _relu6(self._bn0(self._conv_stem(_padded(x, 3, 2))))
        x = _relu6(self._bn1(self._conv_head(self._blocks(x))))
        features = x.mean(dim=(2, 3))
        return features, self._fc(features)


class Block(nn.Module):
    """Inverted residual (Sandler et al., CVPR 2018): 1x1 expansion, depthwise convolution, linear 1x1 projection."""

    def __init__(self, channels: int, out_channels: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = channels * expansion
        self._expands, self._kernel, self._stride = expansion > 1, kernel, stride
        self._adds = stride == 1 and channels == out_channels
        if self._expands:
            self._expand_conv, self._bn0 = _convolution(channels, wide, 1), _norm(wide)
        self._depthwise_conv, self._bn1 = _convolution(wide, wide, kernel, stride, groups=wide), _norm(wide)
        self._project_conv, self._bn2 = _convolution(wide, out_channels, 1), _norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y = _relu6(self._bn0(self._expand_conv(x))) if self._expands else x
        y = _padded(y, self._kernel, self._stride)
        y = self._bn2(self._project_conv(_relu6(self._bn1(self._depthwise_conv(y)))))
        return x + y if self._adds else y


def _relu6(x: Tensor) -> Tensor:
    return functional.relu6(x, inplace=True)  # of a fresh map: another copy costs a tenth of the whole


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


def _convolution(channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    padding = kernel // 2 if stride == 1 else 0  # with a stride :func:`_padded` comes first
    return nn.Conv2d(channels, out_channels, kernel, stride, padding, groups=groups, bias=False)


def _padded(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Pads as TensorFlow's "same" does before a stride of 2 over an even side: one pixel less at the left and top."""
    if stride == 1:
        return x
    before = (kernel - stride) // 2
    after = kernel - stride - before
    return functional.pad(x, (before, after, before, after))
