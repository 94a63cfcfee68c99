"""How long a search takes on this machine: its own steps and evaluations, timed on noise of the right shape."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from autogan_ray.config.study import StudyConfig, TrialConfig
from autogan_ray.metrics.evaluation import Evaluator, Protocol
from autogan_ray.metrics.extractors.registry import extractor_named
from autogan_ray.metrics.features import Extractor
from autogan_ray.metrics.scores import RealSet, Statistics
from autogan_ray.search.loop import SearchLoop
from autogan_ray.spaces.space import SearchSpace
from autogan_ray.training.data import ImageData

Clock = Callable[[], float]

_MOST_ROUNDS = 15
"""Timings of which the median is taken, where they fit into the time."""
_FEW = 8
"""Images by which features are timed, to know whether a whole evaluation can be."""
_FEW_FAKES = 64
"""Fakes of the evaluation before the one that is timed."""


@dataclass(frozen=True)
class SearchTimes:
    """Seconds that parts of one search take.

    Args:
        warmup_step_s: a step of D, with its share of G's, while the architecture parameters are frozen.
        step_s: the same after the warm-up, with the updates of the architecture parameters.
        evaluation_s: an evaluation.
    """

    warmup_step_s: float
    step_s: float
    evaluation_s: float

    def until(self, evaluation: int, evaluations: int, steps: int, warmup: float) -> float:
        """Returns the seconds from a search's first step to the end of an evaluation.

        Args:
            evaluations, steps: of the whole search.
            warmup: share of the steps before the architecture parameters move.
        """
        done = steps * evaluation / evaluations
        slow = max(0.0, done - math.ceil(warmup * steps))
        return (done - slow) * self.warmup_step_s + slow * self.step_s + evaluation * self.evaluation_s


def noise_like(image_size: int, channels: int, classes: int, count: int) -> ImageData:
    """Returns ``count`` images of noise; with labels where there are classes."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, channels, image_size, image_size), dtype=np.uint8)
    return ImageData.of("noise", images, np.arange(count) % classes if classes else None)


def time_search(
    study: StudyConfig,
    trial: TrialConfig,
    space: SearchSpace,
    data: ImageData,
    n_real: int,
    device: torch.device,
    limit_s: float,
    clock: Clock = time.perf_counter,
) -> SearchTimes:
    """Builds a search at its real sizes, and times its steps and an evaluation.

    What the controller of ``reinforce`` scores between its steps is in neither.

    Args:
        data: noise of the study's shape and classes, with two batches or more.
        n_real: real images that scores are taken against.
        limit_s: seconds for each kind of step, and for an evaluation. A step that takes longer is timed once; of an
            evaluation that takes longer, the features of a few images are timed alone, and multiplied.

    Raises MetricError where the extractor's weights are not here.
    """

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return clock()

    weights = extractor_named(study.metrics.extractor).prepare(data, study.metrics)
    extractor = Extractor(weights, device)
    few = torch.from_numpy(data.images[:_FEW].copy())
    dim = extractor(few).embedding.shape[1]
    protocol = Protocol.of(study, study.metrics.n_fake_search)
    evaluator = Evaluator(extractor, _real_like(dim, n_real), protocol, device)
    loop = SearchLoop(
        trial,
        space,
        data,
        evaluator,
        evaluations=study.tune.max_evaluations,
        rank_by=study.metrics.rank_by,
        supernet_every=study.metrics.supernet_every,
        device=device,
    )
    warmup = math.ceil(trial.search.warmup * loop.total_steps)
    warmup_s = _step_s(loop, 0, warmup, limit_s, now) if warmup else 0.0
    step_s = _step_s(loop, warmup, loop.total_steps, limit_s, now)
    start = now()
    extractor.batch(few)
    features_s = (now() - start) / len(few) * protocol.n_fake * (1 + 1 / study.metrics.supernet_every)
    if features_s > limit_s:
        return SearchTimes(warmup_s, step_s, features_s)
    evaluator.protocol = replace(protocol, n_fake=min(_FEW_FAKES, protocol.n_fake))
    loop.evaluate()  # the first imports what scores need
    evaluator.protocol = protocol
    start = now()
    loop.evaluate()
    return SearchTimes(warmup_s, step_s, now() - start)


def _step_s(loop: SearchLoop, first: int, end: int, limit_s: float, now: Clock) -> float:
    """Returns the median seconds of a step of D among those from ``first`` to ``end``, with its share of G's.

    A timing is of as many steps of D as belong to one of G and to one gradient penalty. The first counts only where it
    takes all the time there is: in it memory is allocated and kernels are chosen.
    """
    search = loop.trial.search
    steps = math.lcm(search.d_steps_per_g_step, search.penalty_every if search.penalised else 1)
    start = now()
    times: list[float] = []
    loop.step_d = first
    while not times or (len(times) <= _MOST_ROUNDS and now() - start < limit_s):
        if loop.step_d + steps > end:  # a short search is gone through again
            loop.step_d = first
        before = now()
        for _ in range(steps):
            loop.step()
        times.append((now() - before) / steps)
    return statistics.median(times[1:] or times)


def _real_like(dim: int, count: int) -> RealSet:
    """Returns what costs as much to score against as the statistics of ``count`` real images."""
    rng = torch.Generator().manual_seed(0)
    statistics_ = Statistics(np.zeros(dim), np.eye(dim), count)
    return RealSet(
        statistics_, torch.eye(dim, dtype=torch.float64), torch.rand(min(count, RealSet.KEPT), dim, generator=rng)
    )
