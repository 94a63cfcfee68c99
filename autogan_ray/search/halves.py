"""Which real images a step of a search learns its weights from, and which its architectures."""

from __future__ import annotations

import numpy as np

from autogan_ray.config.sections import SearchConfig
from autogan_ray.training.data import ImageData
from autogan_ray.training.streams import BatchStream, stream_seed


class Halves:
    """Two batches of indices for each step, functions of (seed, images shown); ``for_weights`` has all of the first.

    ``search.halves = "fixed"`` cuts the data set in two for the whole search. ``"per_batch"`` cuts each batch of twice
    the batch size: with a batch size of 2 and images 5 0 3 1 2 4 in an epoch's order, weights see 5 0, architectures
    3 1, weights 2 4, and so on; only where an epoch ends can both halves of one cut hold the same image.

    Args:
        data: is cut.
        search: section ``[search]`` of the trial.
        seed: of the trial.
    """

    def __init__(self, data: ImageData, search: SearchConfig, seed: int) -> None:
        self._size, self._inner_steps = search.batch_size, search.gap_inner_steps
        self._cut_batches = search.halves == "per_batch"
        if self._cut_batches:
            self.for_weights = held_out = np.arange(len(data))
        else:
            self.for_weights, held_out = data.halves(stream_seed(seed, "halves") % 2**32)
        self._weights = BatchStream(self.for_weights, self._size, stream_seed(seed, "weight batches"))
        self._architectures = BatchStream(held_out, self._size, stream_seed(seed, "architecture batches"))
        self._further = BatchStream(held_out, self._size, stream_seed(seed, "further batches"))

    def training(self, images_shown: int) -> np.ndarray:
        """Returns the indices, int64 [batch_size], that a step's weights learn from."""
        return self._weights.indices_at(2 * images_shown if self._cut_batches else images_shown)

    def held_out(self, images_shown: int) -> np.ndarray:
        """Returns the indices, int64 [batch_size], that a step's architectures learn from."""
        if self._cut_batches:
            return self._weights.indices_at(2 * images_shown + self._size)
        return self._architectures.indices_at(images_shown)

    def further(self, images_shown: int, index: int) -> np.ndarray:
        """Returns the indices, int64 [batch_size], of the index-th further batch for a step's architectures."""
        return self._further.indices_at(images_shown * self._inner_steps + index * self._size)
