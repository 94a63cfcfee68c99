"""Throughput of n searches packed on one device against one after the other: is a share of a GPU worth declaring?

    python benchmarks/packing.py --device cpu --study digits --packed 1 2
    python benchmarks/packing.py --device cuda --study cifar10 --packed 1 2 4 --json packing.json
    python benchmarks/packing.py --device cpu --study digits --packed 1 --threads 2

Each search is a process with a loop of its own, as Ray Tune runs it, on images of noise (only their shape matters).
All do ``--warm`` steps, meet, and do ``--steps`` steps; what counts is the time from the meeting until the last is
done. ``speedup`` is images a second of all of them over those of the first number in ``--packed``; processor time an
image tells the same where other work shares the machine. Steps on weights and logits both run (no warm-up of the
search); evaluations do not.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

SHAPES = {"digits": (8, 1), "cifar10": (32, 3), "stl10": (48, 3)}
IMAGES = 2000


def work(asked: dict[str, Any], seed: int, barrier: Any, results: Any) -> None:
    """One process: build, warm up, meet, step; puts its :func:`_steps` on ``results``, or the error."""
    try:
        results.put(_steps(asked, seed, barrier))
    except BaseException as error:
        barrier.abort()
        results.put(f"{type(error).__name__}: {error}")


def _steps(asked: dict[str, Any], seed: int, barrier: Any) -> tuple[float, float, int, float, float]:
    """(begin, end, images, processor seconds, peak MiB); begin and end in seconds since 1970."""
    import torch

    from autogan_ray.training.memory import peak_memory_mib

    torch.set_num_threads(asked["threads"])
    loop = search_loop(asked, seed)

    def wait() -> None:
        if loop.device.type == "cuda":
            torch.cuda.synchronize()

    for _ in range(asked["warm"]):
        loop.step()
    wait()
    barrier.wait()
    begin, spent = time.time(), time.process_time()
    for _ in range(asked["steps"]):
        loop.step()
    wait()
    images = asked["steps"] * loop.trial.search.batch_size
    return begin, time.time(), images, time.process_time() - spent, peak_memory_mib(loop.device)


def search_loop(asked: dict[str, Any], seed: int) -> Any:
    """A study's search on noise of its data's shape, with its logits moving from the first step."""
    from autogan_ray.config.overrides import parse_override
    from autogan_ray.config.study import load_study_config
    from autogan_ray.search.loop import SearchLoop
    from autogan_ray.spaces.space import load_space
    from autogan_ray.training.data import ImageData

    study = load_study_config(asked["study"], dict(parse_override(one) for one in asked["set"]))
    trial = study.trial({"search.warmup": 0.0}, seed)
    size, channels = SHAPES.get(study.data.source, (32, 3))
    shape = (IMAGES, study.data.channels or channels, *[study.data.image_size or size] * 2)
    noise = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    evaluator: Any = None  # nothing is scored here
    return SearchLoop(
        trial, load_space(trial.space), ImageData.of("noise", noise), evaluator, evaluations=1, device=asked["device"]
    )


def measure(asked: dict[str, Any], packed: int) -> dict[str, Any]:
    """One row: ``packed`` processes side by side. Raises RuntimeError where one of them fails."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(packed), context.Queue()
    processes = [context.Process(target=work, args=(asked, seed, barrier, results)) for seed in range(packed)]
    for process in processes:
        process.start()
    found = [results.get() for _ in processes]
    for process in processes:
        process.join()
    check(found)
    wall = max(end for _, end, *_ in found) - min(begin for begin, *_ in found)
    images = sum(images for _, _, images, _, _ in found)
    return {
        "packed": packed,
        "threads": asked["threads"],
        "wall_s": wall,
        "images_per_s": images / wall,
        "cpu_ms_per_image": 1000 * sum(spent for _, _, _, spent, _ in found) / images,
        "peak_mem_mib": max(peak for *_, peak in found),
    }


def check(found: Sequence[Any]) -> None:
    """Raises RuntimeError for a process's error: the cause, rather than the broken meeting of the others."""
    errors = [one for one in found if isinstance(one, str)]
    if errors:
        raise RuntimeError(min(errors, key=lambda one: one.startswith("BrokenBarrierError")))


def compare(asked: dict[str, Any], packed: Sequence[int], rounds: int) -> list[dict[str, Any]]:
    """A row for each number of processes, the fastest of ``rounds`` taken in turns, so that all meet the same noise."""
    tries = [[measure(asked, number) for number in packed] for _ in range(rounds)]
    best = [max(rows, key=lambda row: row["images_per_s"]) for rows in zip(*tries, strict=True)]
    return [row | {"speedup": row["images_per_s"] / best[0]["images_per_s"]} for row in best]


def environment(device: str) -> dict[str, Any]:
    import os

    import torch

    name = torch.cuda.get_device_name() if device == "cuda" else f"{os.cpu_count()} processors"
    return {"device": device, "name": name, "torch": torch.__version__}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default="digits", help="a shipped study or a file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting")
    parser.add_argument("--packed", type=int, nargs="+", default=[1, 2], help="processes side by side")
    parser.add_argument("--threads", type=int, default=1, help="of torch, a process")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--warm", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=1, help="repeat, and take the fastest of each")
    parser.add_argument("--json", type=Path, help="write all figures to this file as well")
    asked = vars(parser.parse_args(arguments))
    file, packed, rounds = asked.pop("json"), asked.pop("packed"), asked.pop("rounds")
    rows = compare(asked, packed, rounds)
    for row in rows:
        print(
            f"{row['packed']:>3} side by side: {row['images_per_s']:>9.1f} images/s in all, {row['speedup']:.2f} times "
            f"{rows[0]['packed']}, "
            f"{row['cpu_ms_per_image']:.2f} ms of processor an image, at most {row['peak_mem_mib']:.0f} MiB each"
        )
    if file is not None:
        file.write_text(json.dumps({"asked": asked, **environment(asked["device"]), "rows": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
