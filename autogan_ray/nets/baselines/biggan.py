"""BigGAN (Brock, Donahue and Simonyan, ICLR 2019) at the scale of CIFAR images, with classes or without.

As in its and SNGAN's CIFAR networks (Miyato et al., ICLR 2018, table 4), all maps of a network have the same width.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from autogan_ray.nets.attention import SelfAttention
from autogan_ray.nets.baselines._rules import check_least, check_settings
from autogan_ray.nets.baselines.precision import at_full_precision
from autogan_ray.nets.baselines.weights import settle_spectral, start_orthogonal
from autogan_ray.nets.block_cell import FixedBlock
from autogan_ray.nets.spectral import spectral
from autogan_ray.spaces.sizes import generator_cells

EMBEDDING = 128
"""Length of the generator's class embedding, which all blocks share."""
HALVINGS_D, BLOCKS_D = 2, 4


class ConditionalBatchNorm(nn.Module):
    """x [B, C, H, W], condition [B, N] -> normalised x * (1 + gain(condition)) + bias(condition).

    Both are linear, with spectral norm (section 3.1 and appendix B). They have offsets, so that without classes, where
    the condition's mean is zero, gain and bias can still be learned like those of a plain batch norm.
    """

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = spectral(nn.Linear(condition, channels))
        self.bias = spectral(nn.Linear(condition, channels))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gain, bias = self.gain(condition)[:, :, None, None], self.bias(condition)[:, :, None, None]
        return torch.addcmul(bias, self.norm(x), 1 + gain)


class UpBlock(nn.Module):
    """[B, C, H, W] -> [B, C, 2H, 2W]: residual, pre-activated, nearest up-sampling (figure 15b).

    The convolutions have no bias: the batch norms after them would subtract it.
    """

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm1 = ConditionalBatchNorm(channels, condition)
        self.norm2 = ConditionalBatchNorm(channels, condition)
        self.conv1, self.conv2 = (spectral(nn.Conv2d(channels, channels, 3, padding=1, bias=False)) for _ in range(2))
        self.shortcut = spectral(nn.Conv2d(channels, channels, 1, bias=False))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        y = self.conv1(_doubled(torch.relu(self.norm1(x, condition))))
        y = self.conv2(torch.relu(self.norm2(y, condition)))
        # Repeating pixels and a 1x1 convolution commute; this order costs a quarter.
        return y + _doubled(self.shortcut(x))


class BigGanGenerator(nn.Module):
    """z and class [B, latent_dim + classes] -> images [B, image_channels, image_size, image_size] in [-1, 1].

    The last ``classes`` columns are a one-hot class, or shares of several. z is cut into one chunk for the bottom map
    and one a block (skip-z, section 3.1), of equal length; what is left over goes to the first. A block's chunk and
    the class embedding condition its batch norms. Spectral norm on all layers but the embedding, a table.

    Attention stands before the last block, at half the image's side.

    Going to evaluation mode sets the spectral norms to those of the present weights, as an average of weights has
    none of its own; after weights were changed in evaluation mode, call ``eval()`` again.

    Raises SpaceError or ConfigError for settings that cannot be built, ValueError for an input of another length.
    """

    stochastic = False

    def __init__(self, image_size: int, image_channels: int, channels: int, latent_dim: int, classes: int = 0) -> None:
        super().__init__()
        check_settings(image_size, image_channels, channels, classes=classes)
        self._bottom, blocks = generator_cells(image_size)
        rule = f"BigGAN cuts z into {blocks + 1} chunks at {image_size} px, none of them empty"
        check_least("latent_dim", latent_dim, blocks + 1, rule)
        self.latent_dim, self.classes = latent_dim, classes
        chunk = latent_dim // (blocks + 1)
        self._chunks = [latent_dim - chunk * blocks, *[chunk] * blocks]
        self.embedding = nn.Linear(classes, EMBEDDING, bias=False) if classes else None
        condition = chunk + (EMBEDDING if classes else 0)
        self.latent = spectral(nn.Linear(self._chunks[0], channels * self._bottom**2))
        self.blocks = nn.ModuleList(UpBlock(channels, condition) for _ in range(blocks))
        self.attention = SelfAttention(channels)
        last = spectral(nn.Conv2d(channels, image_channels, 3, padding=1))
        self.to_image = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), last, nn.Tanh())
        start_orthogonal(self)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if not mode:
            settle_spectral(self)
        return self

    def forward(self, z: Tensor) -> Tensor:
        wanted = self.latent_dim + self.classes
        if z.shape[1] != wanted:
            raise ValueError(
                f"BigGanGenerator: an input of length {z.shape[1]}; it is z and the one-hot class side by side, "
                f"{self.latent_dim} + {self.classes} = {wanted} numbers"
            )
        first, *chunks = z[:, : self.latent_dim].split(self._chunks, dim=1)
        if self.embedding is not None:
            embedded = self.embedding(z[:, self.latent_dim :])
            chunks = [torch.cat([chunk, embedded], dim=1) for chunk in chunks]
        x = self.latent(first).view(len(z), -1, self._bottom, self._bottom)
        for index, (block, condition) in enumerate(zip(self.blocks, chunks, strict=True)):
            if index == len(self.blocks) - 1:
                x = self.attention(x)
            x = block(x, condition)
        return self.to_image(x)


class BigGanDiscriminator(nn.Module):
    """Images [B, image_channels, image_size, image_size] in [-1, 1] -> scores [B], unbounded.

    SNGAN's four residual blocks for 32 px, at every side: two that halve, attention between them, two that keep the
    side; then ReLU, sum over the map, and linear(h) + <embedding(class), h> (Miyato and Koyama, ICLR 2018, figure 1d).
    Spectral norm on all layers, the embedding too.

    Raises SpaceError or ConfigError for settings that cannot be built.
    """

    stochastic = False

    def __init__(self, image_size: int, image_channels: int, channels: int, classes: int = 0) -> None:
        super().__init__()
        check_settings(image_size, image_channels, channels, classes=classes)
        self.classes = classes
        self.blocks = nn.ModuleList(
            FixedBlock(channels if index else image_channels, channels, down=index < HALVINGS_D, first=index == 0)
            for index in range(BLOCKS_D)
        )
        self.attention = SelfAttention(channels)
        self.head = spectral(nn.Linear(channels, 1))
        self.embedding = spectral(nn.Linear(classes, channels, bias=False)) if classes else None
        start_orthogonal(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """``labels``: one-hot float [B, classes], needed where there are classes and refused where there are none.

        Raises ValueError for labels that are missing, not wanted, or of another shape.
        """
        self._check_labels(len(images), labels)
        x = images
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index == 0:
                x = self.attention(x)
        return at_full_precision(lambda x: self._judged(x, labels), x)

    def _judged(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """Returns the scores of the last maps [B, C, H, W]."""
        h = torch.relu(x).sum(dim=(2, 3))
        scores = self.head(h).squeeze(1)
        if self.embedding is None:
            return scores
        return scores + (self.embedding(labels) * h).sum(dim=1)

    def _check_labels(self, count: int, labels: Tensor | None) -> None:
        if labels is None and self.classes:
            raise ValueError(
                f"BigGanDiscriminator: labels = None, but the network has {self.classes} classes: each image is judged "
                f"with its class; give one-hot labels [{count}, {self.classes}]"
            )
        if labels is not None and not self.classes:
            raise ValueError(
                "BigGanDiscriminator: labels were given, but classes = 0: it reads images alone; give None"
            )
        if labels is not None and labels.shape != (count, self.classes):
            raise ValueError(
                f"BigGanDiscriminator: labels of shape {list(labels.shape)} for {count} images; they are one-hot, "
                f"[{count}, {self.classes}]"
            )


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")
