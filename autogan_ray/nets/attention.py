"""Self-attention over a map's pixels (Zhang et al., SAGAN, ICML 2019, section 3), in the sizes that BigGAN uses."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from autogan_ray.nets.spectral import spectral


class SelfAttention(nn.Module):
    """[B, C, H, W] -> the same shape: x + gamma * out(softmax(query . key) value), equations 1 to 3.

    Queries and keys have C / 8 channels, values C / 2; keys and values are max-pooled by 2. All four are 1x1
    convolutions without bias. gamma starts at 0, where the layer is the identity. Scores are not divided by
    sqrt(C / 8), as in the paper. Written out, as torch's fused attention cannot be differentiated twice, which a
    gradient penalty asks of a discriminator.

    Args:
        channels: C, of input and output.
        spec_norm: whether the convolutions' weights are divided by their spectral norms, as the paper's are.
    """

    def __init__(self, channels: int, spec_norm: bool = True) -> None:
        super().__init__()
        narrow, middle = max(1, channels // 8), max(1, channels // 2)

        def point(c_in: int, c_out: int) -> nn.Module:
            layer = nn.Conv2d(c_in, c_out, 1, bias=False)
            return spectral(layer) if spec_norm else layer

        self.query, self.key = point(channels, narrow), point(channels, narrow)
        self.value, self.out = point(channels, middle), point(middle, channels)
        self.gamma = nn.Parameter(torch.zeros(()))
        self._widths = narrow + middle

    def forward(self, x: Tensor) -> Tensor:
        query = self.query(x).flatten(2).transpose(1, 2)
        key = functional.max_pool2d(self.key(x), 2).flatten(2)
        value = functional.max_pool2d(self.value(x), 2).flatten(2).transpose(1, 2)
        attended = torch.softmax(query @ key, dim=-1) @ value
        return x + self.gamma * self.out(attended.transpose(1, 2).unflatten(2, x.shape[2:]))

    def product_macs(self, x: Tensor) -> int:
        """Returns the multiply-accumulates of the two matrix products on maps [B, C, H, W].

        Every pixel meets every pooled one: once in the C / 8 channels of queries and keys, once in the C / 2 of values.
        """
        count, _, height, width = x.shape
        return count * (height * width) * (height // 2 * (width // 2)) * self._widths
