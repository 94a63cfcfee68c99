"""A study without a trained extractor: a few pixels as features, so that a test of a search costs milliseconds."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.study import TrialConfig
from autogan_ray.metrics.evaluation import Evaluator, Protocol
from autogan_ray.metrics.features import Features
from autogan_ray.metrics.scores import RealSet
from autogan_ray.search.loop import SearchLoop
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.space import SearchSpace
from autogan_ray.training.data import ImageData


class Pixels:
    """Stands where an extractor does: sixteen means of squares of an image, and ten of them as logits."""

    def __call__(self, images: Tensor) -> Features:
        """uint8 [N, C, H, W] -> features of N images."""
        found = functional.adaptive_avg_pool2d(images.float() / 64, 4)[:, 0].flatten(1)
        return Features(found, found[:, :10])

    batch = __call__


pixels = Pixels()


def evaluator_of(data: ImageData, n_fake: int = 24, device: str = "cpu") -> Evaluator:
    return Evaluator(pixels, RealSet.of(pixels, data.images), Protocol(n_fake, n_fake, 1), device)  # type: ignore[arg-type]


def noise_images(count: int = 64, side: int = 8, seed: int = 0) -> ImageData:
    rng = np.random.default_rng(seed)
    return ImageData.of("noise", rng.integers(0, 256, (count, 1, side, side), dtype=np.uint8))


def search_of(
    data: ImageData,
    method: str,
    space: str | SearchSpace = "adversarialnas",
    evaluations: int = 2,
    device: str = "cpu",
    **changes: Any,
) -> SearchLoop:
    """``changes``: of [search]; ``seed`` and other sections by name."""
    search = {"batch_size": 4, "kimg": 0.024, "d_steps_per_g_step": 1, "warmup": 0.1, "method": method}
    if method == "reinforce":
        search |= {"reward_images": 20, "controller_phases": 2, "controller_steps": 2, "controller_samples": 3}
    found = space if isinstance(space, SearchSpace) else load_space(space)
    plain = {
        "space": found.name,
        "seed": changes.pop("seed", 0),
        "model": {"channels_g": 3, "channels_d": 3, "latent_dim": 4} | changes.pop("model", {}),
        "optim": {"lr_arch_g": 0.1, "lr_arch_d": 0.1, "lr_controller": 0.01} | changes.pop("optim", {}),
        **{section: changes.pop(section, {}) for section in ("derive", "remedies", "compute")},
        "search": search | changes,
    }
    trial = TrialConfig.parse(plain, "test", ConfigError)
    return SearchLoop(trial, found, data, evaluator_of(data, device=device), evaluations=evaluations, device=device)


def through_a_file(state: Any) -> Any:
    """As a checkpoint is written and read: tensors and plain values only."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)


def cloned(state: Any) -> Any:
    """A state that further steps do not touch; faster than a file."""
    if isinstance(state, dict):
        return {key: cloned(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(cloned(value) for value in state)
    return state.detach().clone() if isinstance(state, Tensor) else state


def flat(state: Any, lead: str = "") -> dict[str, Any]:
    if isinstance(state, dict):
        return {k: v for key, value in state.items() for k, v in flat(value, f"{lead}.{key}").items()}
    if isinstance(state, list | tuple):
        return {k: v for index, value in enumerate(state) for k, v in flat(value, f"{lead}.{index}").items()}
    return {lead: state}


def assert_same(one: Any, other: Any) -> None:
    left, right = flat(one), flat(other)
    assert left.keys() == right.keys()
    for key, value in left.items():
        if isinstance(value, Tensor):
            assert torch.equal(value, right[key]), key
        else:
            assert value == right[key], key
