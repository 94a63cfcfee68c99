"""Images of noise, for what only times: what images show changes no time."""

from __future__ import annotations

import numpy as np

from autogan_ray.config.study import StudyConfig
from autogan_ray.training.data import ImageData, request_of
from autogan_ray.training.images.sources import glance


def noise(study: StudyConfig, count: int, seed: int = 0) -> ImageData:
    """Returns images of the size and channels of a study's data; of 32 px in colour where that is not there yet.

    Raises DataError for data that do not have the form that the study names.
    """
    seen = glance(request_of(study.data))
    size, channels = (
        (seen.image_size, seen.channels) if seen else (study.data.image_size or 32, study.data.channels or 3)
    )
    pixels = np.random.default_rng(seed).integers(0, 256, (count, channels, size, size), np.uint8)
    return ImageData.of("noise", pixels)
