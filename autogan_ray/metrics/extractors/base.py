"""The contract of a feature extractor: how its weights are obtained, and how images become features.

A file per extractor stands beside this one, and a row per extractor in ``registry.py``. These files import torch only
where features are computed, so that plans and listings start at once.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autogan_ray.config.sections import MetricsConfig

if TYPE_CHECKING:
    from torch import Tensor, nn

    from autogan_ray.training.data import ImageData


@dataclass(frozen=True)
class ExtractorWeights:
    """The weights of an extractor as a picklable value, so that a remote worker needs no files.

    Args:
        name: of the extractor.
        digest: sha256 in hexadecimal of all that decides the features: the weights file, or the classifier's
            parameters. The statistics of the real images are cached under it and recorded with it, so an extractor that
            computes anything else must have another digest.
        state: a saved ``state_dict``; empty where there are no weights.
        image_channels: of the images that the network takes, 1 or 3.
        classes: length of the logits; 1 for an extractor without classes.
    """

    name: str
    digest: str
    state: bytes
    image_channels: int = 3
    classes: int = 1008


class FeatureExtractor(ABC):
    """One kind of features; ``name`` is how ``metrics.extractor`` of a study names it."""

    name: str
    reads: tuple[str, ...] = ("weights", "sha256")
    """The settings of ``[metrics]`` that this extractor reads and that some other one does not read."""
    trained = False
    """Whether :meth:`prepare` trains it, so that another machine may come to other weights: studies keep it."""
    downloads = False
    """Whether :meth:`prepare` gets weights over the network where the study names no file."""

    @property
    def label(self) -> str:
        """How people read a Frechet distance over these features; "FID" is Inception's alone."""
        return f"FD ({self.name})"

    def missing(self, metrics: MetricsConfig) -> str | None:
        """Says what is not on this machine and how to get it; None where nothing is."""
        return None

    def unobtainable(self, metrics: MetricsConfig) -> str | None:
        """Says what is missing and what :meth:`prepare` cannot get by itself either; None where a study can start."""
        return None if self.downloads and not metrics.weights else self.missing(metrics)

    @abstractmethod
    def check(self, metrics: MetricsConfig, classes: int) -> None:
        """Raises MetricError for data or files that cannot serve; files that are not there are no error here.

        Args:
            classes: of the data set, 0 where it has no labels.
        """

    @abstractmethod
    def prepare(self, data: ImageData, metrics: MetricsConfig) -> ExtractorWeights:
        """Returns the weights, fetched or trained where necessary. Raises MetricError."""

    @abstractmethod
    def build(self, weights: ExtractorWeights) -> nn.Module:
        """Returns the network with its weights, on the CPU; ``nn.Identity()`` for an extractor without weights."""

    @abstractmethod
    def extract(self, network: Any, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the features [B, D] and logits [B, classes] of uint8 images [B, 1 or 3, H, W].

        An extractor without classes returns logits of zeros, [B, 1]: the Inception Score is then 1.

        Args:
            network: from :meth:`build`, on the device of the images.
        """


def saved_state(state: dict[str, Tensor]) -> bytes:
    """Saves a ``state_dict`` to bytes."""
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
