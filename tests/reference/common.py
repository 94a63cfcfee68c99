"""Parts that the published spaces share, as functions of a mapping of weights.

Everything is written from the papers with ``torch.nn.functional`` and arithmetic; nothing here imports the project.
Feature maps are (N, C, H, W), z is (N, L), images are (N, channels, S, S) in [-1, 1] and D's scores are (N, 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-5
"""Of both batch and instance norm."""
MOMENTUM = 0.1
"""Of batch norm's running statistics."""

NORMAL = ("none", "skip", "conv_1x1", "conv_3x3", "conv_5x5", "dil_conv_3x3", "dil_conv_5x5")
"""The normal operations of AdversarialNAS (Gao et al., CVPR 2020), also used by EAGAN, in the published order."""
DOWN = ("avg_pool", "max_pool", "down_conv_3x3", "down_conv_5x5", "down_dil_conv_3x3", "down_dil_conv_5x5")
"""The halving operations of the same discriminators, in the published order."""
KERNELS = {  # kernel, dilation
    "conv_1x1": (1, 1),
    "conv_3x3": (3, 1),
    "conv_5x5": (5, 1),
    "dil_conv_3x3": (3, 2),
    "dil_conv_5x5": (5, 2),
}


@dataclass
class Network:
    """A mapping of weights with the architecture: for each decision a choice, or a vector of weights over all of them.

    ``read`` collects the names that a pass read; ``running`` the running statistics as a training pass leaves them.
    """

    tensors: Mapping[str, Tensor]
    selection: Mapping[str, str | Tensor] = field(default_factory=dict)
    training: bool = False
    read: set[str] = field(default_factory=set)
    running: dict[str, Tensor] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Tensor:
        self.read.add(name)
        return self.tensors[name]


def weighted_sum(net: Network, decision: str, order: Sequence[str], run: Callable[[str], Tensor]) -> Tensor:
    """The chosen operation's output, or the weighted sum of the outputs of all of them, in the order given."""
    chosen = net.selection[decision]
    if isinstance(chosen, str):
        return run(chosen)
    assert chosen.shape == (len(order),)
    total = chosen[0] * run(order[0])
    for weight, name in zip(chosen[1:], order[1:], strict=True):
        total = total + weight * run(name)
    return total


# --- layers ---------------------------------------------------------------------------------------------------------


def spectral_weight(net: Network, layer: str) -> Tensor:
    """W / sigma with sigma = u^T W v of the stored vectors, which are constants (Miyato et al., ICLR 2018)."""
    original = net[f"{layer}.parametrizations.weight.original"]
    u = net[f"{layer}.parametrizations.weight.0._u"].detach()
    v = net[f"{layer}.parametrizations.weight.0._v"].detach()
    sigma = (u[:, None] * original.reshape(len(u), len(v)) * v[None, :]).sum()
    return original / sigma


def conv(
    net: Network,
    layer: str,
    x: Tensor,
    kernel: int,
    *,
    dilation: int = 1,
    stride: int = 1,
    bias: bool = True,
    depthwise: bool = False,
    spectral: bool = False,
) -> Tensor:
    """A convolution with the padding that keeps the side at stride 1 and halves an even side at stride 2."""
    weight = spectral_weight(net, layer) if spectral else net[f"{layer}.weight"]
    assert weight.shape[2:] == (kernel, kernel)
    groups = x.shape[1] if depthwise else 1
    shift = net[f"{layer}.bias"] if bias else None
    return F.conv2d(x, weight, shift, stride, dilation * (kernel - 1) // 2, dilation, groups)


def deconv2(net: Network, layer: str, x: Tensor) -> Tensor:
    """The transposed convolution of kernel 2 and stride 2, with bias: (N, C, H, W) to (N, C, 2H, 2W)."""
    return F.conv_transpose2d(x, net[f"{layer}.weight"], net[f"{layer}.bias"], stride=2)


def _scaled(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    return (x - mean) / torch.sqrt(variance + EPS)


def instance_norm(x: Tensor) -> Tensor:
    """Each channel of each image by its own mean and (biased) variance; no weights."""
    mean = x.mean(dim=(2, 3), keepdim=True)
    return _scaled(x, mean, ((x - mean) ** 2).mean(dim=(2, 3), keepdim=True))


def batch_norm(net: Network, layer: str, x: Tensor, *, affine: bool = True) -> Tensor:
    """Running statistics in evaluation mode; in training the batch's, which also move the running ones."""
    count = x.shape[0] * x.shape[2] * x.shape[3]
    mean, variance = net[f"{layer}.running_mean"], net[f"{layer}.running_var"]
    if net.training:
        now = x.mean(dim=(0, 2, 3))
        now_variance = ((x - now[None, :, None, None]) ** 2).mean(dim=(0, 2, 3))
        unbiased = now_variance * count / (count - 1)
        net.running[f"{layer}.running_mean"] = (1 - MOMENTUM) * mean + MOMENTUM * now.detach()
        net.running[f"{layer}.running_var"] = (1 - MOMENTUM) * variance + MOMENTUM * unbiased.detach()
        mean, variance = now, now_variance
    x = _scaled(x, mean[None, :, None, None], variance[None, :, None, None])
    if not affine:
        return x
    return x * net[f"{layer}.weight"][None, :, None, None] + net[f"{layer}.bias"][None, :, None, None]


def resize(x: Tensor, mode: str, ratio: int = 2) -> Tensor:
    """Interpolation by ``ratio`` in one step; bilinear without aligned corners."""
    if mode == "nearest":
        return x.repeat_interleave(ratio, dim=2).repeat_interleave(ratio, dim=3)
    assert mode == "bilinear"
    return F.interpolate(x, scale_factor=ratio, mode="bilinear", align_corners=False)


def average_pool(x: Tensor) -> Tensor:
    """2x2 means."""
    return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4


# --- ends of the networks -------------------------------------------------------------------------------------------


def from_latent(net: Network, index: int, z: Tensor, side: int) -> Tensor:
    """A linear layer with bias and the reshape to (N, C, side, side)."""
    flat = z @ net[f"latent.{index}.weight"].T + net[f"latent.{index}.bias"]
    return flat.reshape(len(z), -1, side, side)


def to_image(net: Network, x: Tensor) -> Tensor:
    """BN, ReLU, 3x3 convolution to the image's channels, tanh."""
    return torch.tanh(conv(net, "to_image.2", torch.relu(batch_norm(net, "to_image.0", x)), 3))


def score(net: Network, x: Tensor) -> Tensor:
    """D's head: ReLU, the sum over H and W, a linear layer with spectral norm and no bias: (N, 1)."""
    return torch.relu(x).sum(dim=(2, 3)) @ spectral_weight(net, "head").T


# --- operations of the cells of AdversarialNAS and EAGAN ------------------------------------------------------------


def normal_op(
    net: Network, place: str, choice: str, x: Tensor, *, activation: bool = True, spectral: bool = False
) -> Tensor:
    """none, identity, or [ReLU and] a full convolution with bias, of which two are dilated (Gao et al., CVPR 2020)."""
    if choice == "none":
        return x * 0
    if choice == "skip":
        return x
    kernel, dilation = KERNELS[choice]
    layer = f"{place}.choices.{choice}.{int(activation)}"
    x = torch.relu(x) if activation else x
    return conv(net, layer, x, kernel, dilation=dilation, spectral=spectral)


def down_op(net: Network, place: str, choice: str, x: Tensor) -> Tensor:
    """2x2 pooling, or ReLU and a convolution of stride 2 with bias and spectral norm (Gao et al., CVPR 2020)."""
    if choice == "avg_pool":
        return average_pool(x)
    if choice == "max_pool":
        return F.max_pool2d(x, 2)
    kernel, dilation = KERNELS[choice.removeprefix("down_")]
    layer = f"{place}.choices.{choice}.1"
    return conv(net, layer, torch.relu(x), kernel, dilation=dilation, stride=2, spectral=True)
