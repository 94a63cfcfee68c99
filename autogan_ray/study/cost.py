"""What a study takes: in images shown to D, and in hours of this machine by steps that were timed on it."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from autogan_ray.base.machine import cpu_name
from autogan_ray.base.provenance import packages_json
from autogan_ray.config.search_length import rung_evaluations, total_steps
from autogan_ray.config.sections import TuneConfig
from autogan_ray.config.study import StudyConfig, TrialConfig
from autogan_ray.config.sweep import corners
from autogan_ray.metrics.extractors.registry import extractor_named
from autogan_ray.study.plan import Plan, driver_device
from autogan_ray.training.data import ImageData
from autogan_ray.training.images.sources import Glance

if TYPE_CHECKING:
    from autogan_ray.search.timing import SearchTimes

LIMIT_S = 10.0
"""Steps of all configurations together are timed for about so long."""
_MOST_TIMED = 4
_FORMAT = "times-v1"


@dataclass(frozen=True)
class Times:
    """How long a study is expected to take, in seconds.

    Args:
        whole_s: where every trial runs to its end.
        pruned_s: with ASHA, by the trials that are expected to go past each rung; as ``whole_s`` without it.
        timed: of how many configurations the steps were timed; the mean is taken.
        proposable: how many there are, as far as choices go.
        step_s, evaluation_s: means over them.
        device: on which they were timed.
    """

    whole_s: float
    pruned_s: float
    timed: int
    proposable: int
    step_s: float
    evaluation_s: float
    device: str


@cache  # the console asks at each event
def going_past(trials: float, factor: float) -> float:
    """Returns how many of so many trials are expected to go past a rung of asynchronous successive halving.

    A trial that comes to a rung goes on where its score is within the best 1 / ``factor`` of those that came before it,
    the quantile taken between two neighbours (Li et al., 2020, as Ray has it); the first always does. So early trials
    are judged by few others, and more go on than trials / factor. The scores are taken to be independent of the order.
    """
    # With m scores there, the cutoff lies (m - 1) (1 - 1 / factor) places above the worst, of m + 1 gaps in all.
    kept = [(m - (m - 1) * (1 - 1 / factor)) / (m + 1) for m in range(1, math.ceil(trials))]
    if not kept:
        return trials
    whole = 1 + sum(kept)
    return whole - kept[-1] * (math.ceil(trials) - trials)


def stages(tune: TuneConfig) -> list[tuple[int, float]]:
    """Returns (evaluation, trials that are expected to run until it) for each rung of ASHA and for the end."""
    found, going = [], float(tune.num_trials)
    asha = tune.scheduler == "asha"
    for rung in rung_evaluations(tune.grace, tune.reduction_factor, tune.max_evaluations) if asha else ():
        found.append((rung, going))
        going = going_past(going, tune.reduction_factor)
    return [*found, (tune.max_evaluations, going)]


def expected_share(tune: TuneConfig) -> float:
    """Returns which share of all evaluations is expected to be made: 1 where nothing stops a trial."""
    before, made = 0, 0.0
    for evaluation, going in stages(tune):
        made, before = made + going * (evaluation - before), evaluation
    return made / (tune.num_trials * tune.max_evaluations)


def expected_evaluations(tune: TuneConfig, done: int) -> float:
    """Returns how many more evaluations are expected of a trial that goes on after so many."""
    expected, before, there = 0.0, 0, None
    for evaluation, going in stages(tune):
        if evaluation > done:
            there = there or going  # as many trials come to where this one is
            expected += (evaluation - max(before, done)) * going / there
        before = evaluation
    return expected


def expected_times(plan: Plan, data: Glance | ImageData) -> Times | str:
    """Returns how long a study is expected to take; or why that cannot be said on this machine.

    Steps of up to four configurations are timed, which hold the choices of the sweep and the first ends of its ranges.
    What was timed once is kept in the cache. Not counted: starting Ray and the trials, and that trials which share a
    GPU slow each other.
    """
    study = plan.study
    missing = extractor_named(study.metrics.extractor).missing(study.metrics)
    reason = _cannot(plan) or (missing and "the extractor's weights are not here yet")
    if reason:
        return reason
    proposals = _configurations(study)
    chosen = [proposals[index * len(proposals) // _MOST_TIMED] for index in range(_MOST_TIMED)]
    chosen = proposals if len(proposals) <= _MOST_TIMED else chosen
    times = _timed(plan, data, chosen)
    if isinstance(times, str):
        return times
    tune, trial_s = study.tune, []
    for trial, each in zip(chosen, times, strict=False):
        steps = total_steps(trial.search, tune.max_evaluations)
        ends = [evaluation for evaluation, _ in stages(tune)]
        trial_s.append([each.until(end, tune.max_evaluations, steps, trial.search.warmup) for end in ends])
    until = [statistics.fmean(column) for column in zip(*trial_s, strict=True)]
    spent, before = 0.0, 0.0
    for (_, going), end in zip(stages(tune), until, strict=True):
        spent, before = spent + going * (end - before), end
    longest = until[-1]
    return Times(
        whole_s=max(longest, tune.num_trials * longest / plan.slots),
        pruned_s=max(longest, spent / plan.slots),
        timed=len(times),
        proposable=len(proposals),
        step_s=statistics.fmean(each.step_s for each in times),
        evaluation_s=statistics.fmean(each.evaluation_s for each in times),
        device=_device_name(plan.gpus),
    )


def _cannot(plan: Plan) -> str | None:
    """Why steps cannot be timed here."""
    if plan.gpus and driver_device(plan.gpus) == "cpu":
        return "the study asks for GPUs, and this machine has none"
    if True in plan.study.possible("compute.compile"):
        return "compute.compile is on, and compiling takes a minute or more"
    return None


def _configurations(study: StudyConfig) -> list[TrialConfig]:
    """The configurations that differ in what a step costs: each combination of choices that the sweep can propose."""
    sweep = study.live_sweep
    choices = [key for key, domain in sweep.items() if domain.choice and not key.startswith("optim.")]
    return [study.trial(proposed, seed=0) for proposed in corners(sweep, choices)]


def _timed(plan: Plan, data: Glance | ImageData, trials: Sequence[TrialConfig]) -> list[SearchTimes] | str:
    """Times of the configurations, in their order; the later ones are left out where time has run out.

    Returns the reason where a search cannot be built on this machine.
    """
    import time

    import torch

    from autogan_ray.metrics.cache import cached
    from autogan_ray.search.timing import SearchTimes, noise_like, time_search

    study, device = plan.study, torch.device(driver_device(plan.gpus))
    threads, before = study.tune.trial_threads, torch.get_num_threads()
    n_real = study.metrics.n_real or len(data)
    start, found = time.monotonic(), list[SearchTimes]()
    torch.set_num_threads(threads)
    try:
        for trial in trials:
            if found and time.monotonic() - start > LIMIT_S:
                break
            noise = noise_like(data.image_size, data.channels, data.classes, 4 * trial.search.batch_size)
            space = plan.spaces[trial.space]

            def measured(trial: TrialConfig = trial, noise: Any = noise, space: Any = space) -> dict[str, Any]:
                limit_s = LIMIT_S / (2 * len(trials))
                return asdict(time_search(study, trial, space, noise, n_real, device, limit_s))

            decides = [
                *(trial.model_dump(mode="json", exclude={"optim", "seed"}), space.digest),
                *(study.metrics.model_dump(mode="json"), study.tune.max_evaluations),
                *(data.image_size, data.channels, data.classes, n_real),
                *(_device_name(plan.gpus), threads, packages_json()),
            ]
            found.append(SearchTimes(**cached("times", f"{_FORMAT} {json.dumps(decides, sort_keys=True)}", measured)))
    except torch.OutOfMemoryError:
        return f"a search does not fit into the free memory of {_device_name(plan.gpus)}"
    finally:
        torch.set_num_threads(before)
        torch.cuda.empty_cache()  # the trials need it; without a GPU it does nothing
    return found


def _device_name(gpus: int) -> str:
    if driver_device(gpus) == "cpu":
        return cpu_name()
    import torch

    return torch.cuda.get_device_name(0)
