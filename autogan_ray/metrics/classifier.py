"""A small network trained on the labelled data set itself, whose features stand in for Inception's.

For small, grey or air-gapped sets. It sees mode loss and collapse, which random features do not; its distances are
comparable only within one digest, and are called "FD (classifier)" wherever people read them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

RECIPE = "classifier-v1"
DIM = 64
_SEED = 20_261_101
_BATCH = 64
_MOST_STEPS = 3000
_EPOCHS = 30


class Classifier(nn.Module):
    """Floats [B, C, H, W] in [-1, 1], H at least 8 -> (features [B, 64], logits [B, classes])."""

    def __init__(self, image_channels: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(image_channels, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveMaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * 4, DIM),
            nn.ReLU(),
        )
        self.head = nn.Linear(DIM, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(x)
        return features, self.head(features)


def train_classifier(images: np.ndarray, labels: np.ndarray) -> dict[str, Tensor]:
    """The state of a classifier trained on all images; the same bits at every call on one kind of machine.

    Args:
        images: uint8 [N, C, H, W]; labels: int64 [N], classes 0 .. K-1.

    One thread and streams of its own: neither the number of threads nor the global generators matter.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            network = Classifier(images.shape[1], int(labels.max()) + 1)
        _fit(network, images, torch.from_numpy(labels.copy()))
    finally:
        torch.set_num_threads(threads)
    return network.state_dict()


def _fit(network: Classifier, images: np.ndarray, labels: Tensor) -> None:
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    steps = min(_MOST_STEPS, _EPOCHS * max(1, len(images) // _BATCH))
    rng = np.random.default_rng(_SEED)
    order, position = rng.permutation(len(images)), 0
    with torch.enable_grad():
        for _ in range(steps):
            if position >= len(order):
                order, position = rng.permutation(len(images)), 0
            chosen = order[position : position + _BATCH]
            position += _BATCH
            x = torch.from_numpy(images[chosen]).float().div_(127.5).sub_(1.0)
            loss = functional.cross_entropy(network(x)[1], labels[chosen])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
