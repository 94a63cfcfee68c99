"""Times of two sides that take turns in one process, their ratio, and what the device could do at best."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

Calls = Mapping[str, Callable[[], Any]]


@dataclass(frozen=True)
class Times:
    """Seconds of one call.

    Args:
        first: of the first call of all (allocation, choice of kernels).
        rounds: of the timed ones.
        cpu: the same in processor time of this process, which others on the machine disturb less.
    """

    first: float
    rounds: tuple[float, ...]
    cpu: tuple[float, ...]

    def told(self) -> dict[str, Any]:
        low, _, high = statistics.quantiles(self.rounds, n=4) if len(self.rounds) > 1 else self.rounds * 3
        return {
            "cpu_median_s": statistics.median(self.cpu),
            "median_s": statistics.median(self.rounds),
            "quartiles_s": [low, high],
            "range_s": [min(self.rounds), max(self.rounds)],
            "first_s": self.first,
            "rounds_s": list(self.rounds),
        }


def alternate(calls: Calls, rounds: int, device: torch.device, least_s: float) -> tuple[dict[str, Times], int]:
    """(name -> times, calls a timing). The sides take turns, A B A B ..., so that both see the machine's same moods.

    Args:
        rounds: timings of each side.
        least_s: a timing repeats its call until it lasts about so long.
    """
    first = {name: _timed(call, 1, device)[0] for name, call in calls.items()}
    second = [_timed(call, 1, device)[0] for call in calls.values()]
    repeats = max(1, math.ceil(least_s / max(min(second), 1e-6)))
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(_timed(call, repeats, device))
    return {name: Times(first[name], *zip(*times, strict=True)) for name, times in found.items()}, repeats


def _timed(call: Callable[[], Any], repeats: int, device: torch.device) -> tuple[float, float]:
    """(seconds, processor seconds) a call; on a GPU, until it has done all."""
    synchronise(device)
    start, spent = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        call()
    synchronise(device)
    return (time.perf_counter() - start) / repeats, (time.process_time() - spent) / repeats


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass(frozen=True)
class Ratio:
    """Median over rounds of a ratio, and the interval between two order statistics around it.

    ``coverage`` is the probability that such an interval holds the true median, whatever the distribution of
    independent rounds: the narrowest of at least 0.9, or all rounds where there are too few (0.94 for 5).
    """

    median: float
    low: float
    high: float
    coverage: float

    @classmethod
    def of(cls, above: tuple[float, ...], below: tuple[float, ...]) -> Ratio:
        """Round by round, as both were measured next to each other."""
        ratios = sorted(a / b for a, b in zip(above, below, strict=True))
        count, cut = len(ratios), 0
        while cut + 1 < (count + 1) // 2 and _coverage(count, cut + 1) >= 0.9:
            cut += 1
        return cls(statistics.median(ratios), ratios[cut], ratios[count - 1 - cut], _coverage(count, cut))


def _coverage(count: int, cut: int) -> float:
    """Of the interval left when ``cut`` values are dropped at each end: 1 - 2 P(Binomial(count, 1/2) <= cut)."""
    return max(0.0, 1.0 - 2.0 * sum(math.comb(count, k) for k in range(cut + 1)) / 2**count)


@dataclass(frozen=True)
class Rates:
    """What the device was measured to do at best, fp32: multiply large matrices, copy memory."""

    flops_per_s: float
    bytes_per_s: float

    @classmethod
    def measured(cls, device: torch.device, tries: int = 5) -> Rates:
        """Bytes are those read and those written."""
        side, size = (8192, 1 << 28) if device.type == "cuda" else (1024, 1 << 24)
        a, b = (torch.rand(side, side, device=device) for _ in range(2))
        source = torch.rand(size, device=device)
        target = torch.empty_like(source)
        with torch.no_grad():
            product = min(_timed(lambda: a @ b, 2, device)[0] for _ in range(tries + 1))
            copy = min(_timed(lambda: target.copy_(source), 2, device)[0] for _ in range(tries + 1))
        return cls(2 * side**3 / product, 2 * source.nbytes / copy)
