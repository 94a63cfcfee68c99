"""Figures of one form of a step: its time, its memory, and how far both are from what the device could do."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gpu_stages.budget import MARGIN, fitting, repeated
from gpu_stages.sizes import Sizes
from gpu_stages.subjects import Form, arithmetic, search_loop, training_loop

MIB = 2**20


def waiting(call: Callable[[], Any], device: Any) -> Callable[[], None]:
    """The call, and then the wait until the device has done it all."""
    import torch

    def done() -> None:
        call()
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize(device)

    return done


def search_step(sizes: Sizes, form: Form, most: int, rates: Mapping[str, float], seconds: float) -> Iterator[Any]:
    """The job of one form of the search step: all steps of D that one step of G takes, and that step."""
    begin = time.perf_counter()
    with arithmetic(form.arithmetic):
        loop = search_loop(sizes, form, sizes.search)
        networks = [loop.net.generator, loop.net.discriminator]
        search = loop.trial.search
        yield from _iterations(
            sizes,
            form,
            loop.step,
            (search.d_steps_per_g_step, search.batch_size),
            networks,
            [loop.net.arch_g.logits, loop.net.arch_d.logits],
            most,
            rates,
            seconds - (time.perf_counter() - begin),
        )


def retraining_step(
    sizes: Sizes, genotype: str, form: Form, rates: Mapping[str, float], seconds: float
) -> Iterator[Any]:
    """The job of one form of a retraining step. Args: genotype: a shipped name."""
    from autogan_ray.spaces.published import load_genotype

    begin = time.perf_counter()
    with arithmetic(form.arithmetic):
        loop = training_loop(sizes, load_genotype(genotype), form)
        networks, recipe = [loop.generator, loop.discriminator], loop.config
        numbers = recipe.d_steps_per_g_step, recipe.batch_size
        left_s = seconds - (time.perf_counter() - begin)
        yield from _iterations(sizes, form, loop.step, numbers, networks, [], sizes.iterations, rates, left_s)


def _iterations(
    sizes: Sizes,
    form: Form,
    step: Callable[[], Any],
    numbers: tuple[int, int],
    networks: list[Any],
    logits: list[Any],
    most: int,
    rates: Mapping[str, float],
    seconds: float,
) -> Iterator[dict[str, Any]]:
    """Args: numbers: steps of D in an iteration, and images of each."""
    import torch

    from autogan_ray.training.memory import forget_peak, peak_memory_mib

    device, (d_steps, batch_size) = torch.device(sizes.device), numbers
    begin = time.perf_counter()
    iteration = waiting(lambda: [step() for _ in range(d_steps)], device)
    iteration()
    first_s = time.perf_counter() - begin
    for _ in range(3 if form.compiled else 1):  # CUDA graphs run once more before they are recorded, then replayed
        iteration()
    forget_peak(device)
    times = repeated(iteration, MARGIN * (seconds - (time.perf_counter() - begin)), most)
    median = statistics.median(times)
    low, _, high = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
    figure = {
        "iteration_ms": 1e3 * median,
        "iteration_quartiles_ms": [1e3 * low, 1e3 * high],
        "iterations": len(times),
        "mean_d_step_ms": 1e3 * statistics.mean(times) / d_steps,
        "d_steps": d_steps * len(times),
        "images_per_s": d_steps * batch_size / median,
        "first_iteration_s": first_s,
        "peak_mem_mib": peak_memory_mib(device),
        "batch_size": batch_size,
    }
    yield figure
    # Counting runs the iteration twice more, operation by operation.
    if not form.compiled and fitting(3 * median, seconds - (time.perf_counter() - begin), 1):
        yield figure | _counted(iteration, networks, logits, form, rates, median)


def _counted(
    iteration: Callable[[], Any],
    networks: list[Any],
    logits: list[Any],
    form: Form,
    rates: Mapping[str, float],
    median_s: float,
) -> dict[str, Any]:
    """Floors, and what the iteration would take at them. Without rates there are counts alone."""
    from _meter import count

    parameters = [parameter for network in networks for parameter in network.parameters()]
    for parameter in [*parameters, *logits]:
        parameter.grad = None
    buffers = [buffer for network in networks for buffer in network.buffers()]
    found = count(iteration, [*parameters, *buffers, *logits])
    figure = {
        "gflop": found.flops / 1e9,
        "operations": found.operations,
        "counted_peak_mib": found.peak_bytes / MIB,
        "saved_for_backward_mib": found.saved_bytes / MIB,
    }
    return figure | floors(found.flops, sum(p.nbytes for p in parameters) + found.result_bytes, form, rates, median_s)


def floors(
    flops: float, least_bytes: float, form: Form, rates: Mapping[str, float], median_s: float
) -> dict[str, float]:
    """What the device's own rates allow.

    Args:
        flops: of convolutions and matrix products; ``least_bytes``: of weights and their results, each once.
        rates: of the device, as stage ``device`` measured them; empty where it did not.
    """
    rate, copy = rates.get(f"matmul_{form.arithmetic}_tflop_per_s"), rates.get("copy_on_device_gb_per_s")
    found = {}
    if rate:
        found["share_of_matmul_rate"] = flops / median_s / (rate * 1e12)
        found["arithmetic_floor_ms"] = 1e3 * flops / (rate * 1e12)
    if copy:
        found["bytes_floor_ms"] = 1e3 * least_bytes / (copy * 1e9)
    return found
