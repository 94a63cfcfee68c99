"""Which part of a trial's time its evaluations take with a study's settings: parts measured in one run, then summed.

    python benchmarks/evaluation_share.py cifar10
    python benchmarks/evaluation_share.py digits --set metrics.supernet_every=3 --json

Images and weights are random: neither changes what anything costs. On a CPU the unit is processor seconds, which other
work on the machine disturbs little, and steps and images are timed in small batches and scaled up; on a GPU it is
seconds at the study's own batch sizes. A search's steps are timed for each relaxation that the study may propose, with
the logits frozen (warm-up) and learning.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
import torch
from _noise import noise
from _random_extractor import random_extractor, random_real
from torch import Tensor

from autogan_ray.base.errors import UserError
from autogan_ray.config.overrides import parse_override
from autogan_ray.config.study import StudyConfig, TrialConfig, load_study_config
from autogan_ray.metrics.evaluation import KID_SUBSETS, Evaluator, Protocol
from autogan_ray.metrics.extractors.inception import INCEPTION
from autogan_ray.metrics.moments import Moments
from autogan_ray.metrics.scores import kernel_distance
from autogan_ray.search.loop import SearchLoop
from autogan_ray.search.scoring import supernet_due
from autogan_ray.spaces.load import load_space
from autogan_ray.study.plan import proposable_spaces
from autogan_ray.training.data import ImageData


@dataclass(frozen=True)
class Timed:
    """Where and how things are timed."""

    device: torch.device
    batch: int
    images: int

    def seconds(self, work: Callable[[], Any], repeats: int = 2) -> float:
        """The least of some runs after one that does not count."""
        work()
        return min(self.once(work) for _ in range(repeats))

    def once(self, work: Callable[[], Any]) -> float:
        cuda = self.device.type == "cuda"
        clock, wait = (time.perf_counter, torch.cuda.synchronize) if cuda else (time.process_time, lambda: None)
        wait()
        start = clock()
        work()
        wait()
        return clock() - start


def loop_of(study: StudyConfig, data: ImageData, evaluator: Evaluator, timed: Timed, **search: Any) -> SearchLoop:
    plain = study.trial({}, 0).model_dump()
    plain["space"] = proposable_spaces(study)[0]
    plain["search"] |= {"batch_size": timed.batch, "kimg": 1000.0, **search}
    trial = TrialConfig.model_validate(plain)
    return SearchLoop(trial, load_space(trial.space), data, evaluator, evaluations=1, device=timed.device)


def step_seconds(study: StudyConfig, data: ImageData, evaluator: Evaluator, timed: Timed, relaxation: str) -> float:
    """Mean seconds of one step at the study's batch size, over a search with its warm-up."""
    cycle, share = study.search.d_steps_per_g_step, study.search.warmup
    seconds = {}
    for warmup in (0.0, 0.999):
        loop = loop_of(study, data, evaluator, timed, relaxation=relaxation, warmup=warmup)
        repeats = 1 if timed.device.type == "cpu" and study.model.channels_g > 64 else 5
        loop.step()
        spent = timed.once(lambda loop=loop, count=cycle * repeats: [loop.step() for _ in range(count)])
        seconds[warmup] = spent / (cycle * repeats)
    mean = (1 - share) * seconds[0.0] + share * seconds[0.999]
    return mean * study.search.batch_size / timed.batch


def evaluation_cost(loop: SearchLoop, study: StudyConfig, timed: Timed) -> dict[str, float]:
    """Seconds of each part of an evaluation, through the code that a search runs; ``_image``: of one image."""
    evaluator, scorer, count = loop.scorer.evaluator, loop.scorer, timed.images
    latents, mixture, average = loop.net.generator.latents, loop.net.arch_g.expected(), loop.ema.network
    genotype = scorer.net.genotype()
    derived = scorer.derived_generator(genotype)

    def mixed(z: Tensor) -> Tensor:
        images: Tensor = average(z, mixture)
        return images

    images = evaluator.images(derived, latents)
    assert images is not None
    features = evaluator.extractor(images).embedding
    settle = timed.seconds(lambda: evaluator.update_batch_norm(derived, derived, latents)) / count
    settle_mixture = timed.seconds(lambda: evaluator.update_batch_norm(average, mixed, latents)) / count
    average.eval()
    moments = Moments(evaluator.real.root)
    many = torch.rand(study.metrics.n_fake_search, features.shape[1], device=timed.device)
    adding = timed.seconds(lambda: [moments.add(part) for part in many.split(study.metrics.batch_size)], 1)
    rows = many.cpu()
    real = evaluator.real
    return {
        "build": max(0.0, timed.seconds(lambda: scorer.derived_generator(genotype)) - settle * count),
        "settle_derived_image": settle,
        "settle_mixture_image": settle_mixture,
        "derived_image": timed.seconds(lambda: evaluator.images(derived, latents)) / count,
        "mixture_image": timed.seconds(lambda: evaluator.images(mixed, latents)) / count,
        "extract_image": timed.seconds(lambda: evaluator.extractor(images)) / count,
        "moments_image": adding / len(many),
        "distance": timed.seconds(lambda: moments.frechet_distance(np.mean(rows.numpy(), axis=0), real.statistics)),
        "kid": timed.seconds(lambda: kernel_distance(rows, real.embedding, KID_SUBSETS), 1),
    }


def evaluations_seconds(study: StudyConfig, cost: Mapping[str, float]) -> dict[str, float]:
    """Of all evaluations of a trial that runs to its end, by what they go into."""
    metrics, last = study.metrics, study.tune.max_evaluations
    mixtures = sum(supernet_due(number, last, metrics.supernet_every) for number in range(1, last + 1))
    settled = metrics.bn_batches * metrics.batch_size
    scored, fakes = last + mixtures, metrics.n_fake_search
    return {
        "building": last * cost["build"],
        "batch norms, derived": last * settled * cost["settle_derived_image"],
        "batch norms, mixture": mixtures * settled * cost["settle_mixture_image"],
        "generation, derived": last * fakes * cost["derived_image"],
        "generation, mixture": mixtures * fakes * cost["mixture_image"],
        "extraction": scored * fakes * cost["extract_image"],
        "moments": scored * fakes * cost["moments_image"],
        "distance": scored * cost["distance"],
        "KID": last * cost["kid"],
    }


def measure(study: StudyConfig, device: torch.device, batch: int | None, images: int | None) -> dict[str, Any]:
    """All figures of a study, plain."""
    slow, metrics = device.type == "cpu", study.metrics
    few = 8 if metrics.extractor == INCEPTION or study.model.channels_g > 64 else 64
    timed = Timed(
        device,
        batch or min(study.search.batch_size, 4 if study.model.channels_g > 64 else 32 if slow else 10**9),
        images or (few if slow else metrics.batch_size),
    )
    data = noise(study, 512)
    extractor = random_extractor(metrics.extractor, data.channels, device)
    dim = extractor(torch.from_numpy(data.images[:2].copy())).embedding.shape[1]
    evaluator = Evaluator(extractor, random_real(dim, device), Protocol(timed.images, timed.images, 1), device)
    cost = evaluation_cost(loop_of(study, data, evaluator, timed), study, timed)
    parts = evaluations_seconds(study, cost)
    spent, steps = sum(parts.values()), round(study.search.kimg * 1000 / study.search.batch_size)
    searches = {
        name: steps * step_seconds(study, data, evaluator, timed, name) for name in study.possible("search.relaxation")
    }
    return {
        "study": study.name,
        "device": torch.cuda.get_device_name() if not slow else f"cpu, {torch.get_num_threads()} threads",
        "timed": {"batch": timed.batch, "images": timed.images, "space": proposable_spaces(study)[0]},
        "evaluation_cost_s": cost,
        "evaluations_s": parts | {"sum": spent},
        "steps": steps,
        "steps_s": searches,
        "share": {name: spent / (spent + value) for name, value in searches.items()},
        "share_of_study": spent * len(searches) / (spent * len(searches) + sum(searches.values())),
    }


def text(figures: Mapping[str, Any]) -> str:
    evaluations = figures["evaluations_s"]
    lines = [f"study {figures['study']} on {figures['device']}; timed: {figures['timed']}"]
    lines += [f"  {name:<24}{value:12.6f} s" for name, value in figures["evaluation_cost_s"].items()]
    lines.append("all evaluations of a trial")
    lines += [f"  {name:<24}{value:12.1f} s {value / evaluations['sum']:7.1%}" for name, value in evaluations.items()]
    lines.append(f"all {figures['steps']} steps of a trial, and the share of its time that evaluations take")
    lines += [
        f"  {name:<24}{value:12.1f} s {figures['share'][name]:7.1%}" for name, value in figures["steps_s"].items()
    ]
    return "\n".join([*lines, f"  {'over these relaxations':<39}{figures['share_of_study']:7.1%}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", default="digits", help="a shipped study or a file (digits)")
    parser.add_argument("--study", dest="study", default=argparse.SUPPRESS, help="the same by name")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of autogan-ray run")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (1)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, help="images of a timed step; fewer than the study's are scaled up")
    parser.add_argument("--images", type=int, help="images of a timed evaluation")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    try:
        study = load_study_config(given.study, dict(parse_override(text) for text in given.set))
    except UserError as error:
        parser.error(str(error))
    figures = measure(study, torch.device(given.device), given.batch, given.images)
    click.echo(json.dumps(figures, indent=2) if given.json else text(figures))


if __name__ == "__main__":
    main()
