"""Stage 6: what one evaluation costs: images through Inception's form, and their Frechet distance. Weights are random.

Neither the time of a convolution nor that of a distance depends on what the weights say.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gpu_stages.budget import fitting
from gpu_stages.sizes import Sizes
from gpu_stages.subjects import TF32, Form, arithmetic, noise, training_loop

if TYPE_CHECKING:
    from gpu_stages.run import Run

NAME = "evaluation"
GENERATOR = "autogan-a"


def stage(run: Run) -> None:
    run.measure(f"{GENERATOR}, inception-v3-compat's form", evaluate, sizes=run.sizes)


def evaluate(sizes: Sizes, seconds: float) -> Iterator[dict[str, Any]]:
    """The job: one batch is timed, then as many images as fit are generated, extracted and scored."""
    begin = time.perf_counter()
    import torch
    from _random_extractor import random_extractor, random_real

    from autogan_ray.metrics.evaluation import Evaluator, Protocol
    from autogan_ray.metrics.extractors.inception import INCEPTION
    from autogan_ray.metrics.moments import Moments
    from autogan_ray.spaces.published import load_genotype
    from autogan_ray.training.memory import forget_peak, peak_memory_mib

    device, batch = torch.device(sizes.device), sizes.batch_evaluation
    form = Form(TF32)
    with arithmetic(form.arithmetic):
        generator = training_loop(sizes, load_genotype(GENERATOR), form).ema.network.eval()
        extractor = random_extractor(INCEPTION, sizes.channels, device)
        pixels = torch.from_numpy(noise(sizes, sizes.image_size_retrained).images[:batch].copy())
        width = extractor(pixels).embedding.shape[1]
        before = time.perf_counter()
        extractor(pixels)
        batch_s = time.perf_counter() - before
        real = random_real(width, device)
        forget_peak(device)
        # A batch is extracted twice in all: within the evaluation, and by itself for its share of it.
        left_s = 0.8 * (seconds - (time.perf_counter() - begin))
        count = batch * max(1, fitting(3 * batch_s, left_s, sizes.fakes_evaluation // batch))
        evaluator = Evaluator(extractor, real, Protocol(count, batch, 1), device)
        latents = generator.latents
        generation_s = timed(lambda: evaluator.images(generator, latents))
        images = evaluator.images(generator, latents)
        assert images is not None, "an untrained generator makes finite images"
        extraction_s = timed(lambda: extractor(images, batch))
        figure = {
            "images": count,
            "generation_s": generation_s,
            "extraction_s": extraction_s,
            "extraction_images_per_s": count / extraction_s,
            "batch_size": batch,
        }
        yield figure
        figure["evaluation_s"] = timed(lambda: evaluator.score(generator, latents, kid=False))
        rows = extractor(images[:batch]).embedding
        moments = Moments(real.root.to(device))
        moments.add(rows.to(device))
        figure["distance_s"] = timed(lambda: moments.frechet_distance(rows.numpy().mean(axis=0), real.statistics))
        yield figure | {"features": width, "peak_mem_mib": peak_memory_mib(device)}


def timed(call: Any) -> float:
    """Seconds until its result is on the CPU, where each of these leaves it."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin
