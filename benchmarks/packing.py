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
import os
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from _noise import noise
from gpu_stages.children import FIGURE, Child

from autogan_ray.config.overrides import parse_override
from autogan_ray.config.study import load_study_config
from autogan_ray.search.loop import SearchLoop
from autogan_ray.spaces.load import load_space
from autogan_ray.training.memory import peak_memory_mib

IMAGES = 2000
_LIMIT_S = 24 * 3600.0
"""For one process: to build and warm up, and to do its steps."""


def work(connection: Connection, asked: dict[str, Any], seed: int) -> None:
    """Builds a search in a process of its own, warms up, says so, waits for the others, and sends its steps' figures.

    ``begin`` and ``end`` are in seconds since 1970.
    """
    torch.set_num_threads(asked["threads"])
    loop = search_loop(asked, seed)
    _steps(loop, asked["warm"])
    connection.send((FIGURE, {}))
    connection.recv()
    begin, spent = time.time(), time.process_time()
    _steps(loop, asked["steps"])
    figures = {
        "begin": begin,
        "end": time.time(),
        "images": asked["steps"] * loop.trial.search.batch_size,
        "cpu_s": time.process_time() - spent,
        "peak_mem_mib": peak_memory_mib(loop.device),
    }
    connection.send((FIGURE, figures))


def _steps(loop: SearchLoop, count: int) -> None:
    for _ in range(count):
        loop.step()
    if loop.device.type == "cuda":
        torch.cuda.synchronize()


def search_loop(asked: dict[str, Any], seed: int) -> SearchLoop:
    """Builds a study's search on noise of its data's shape, with its logits moving from the first step."""
    study = load_study_config(asked["study"], dict(parse_override(text) for text in asked["set"]))
    trial = study.trial({"search.warmup": 0.0}, seed)
    evaluator: Any = None  # nothing is scored here
    images = noise(study, IMAGES, seed)
    return SearchLoop(trial, load_space(trial.space), images, evaluator, evaluations=1, device=asked["device"])


def measure(asked: dict[str, Any], packed: int) -> dict[str, Any]:
    """Measures ``packed`` processes side by side, as one row. Raises Stopped with the error of a process that fails."""
    children = [Child(work, asked=asked, seed=seed) for seed in range(packed)]
    try:
        for child in children:
            child.receive(_LIMIT_S)
        for child in children:
            child.send(None)
        figures = [child.receive(_LIMIT_S)[1] for child in children]
    finally:
        for child in children:
            child.kill()
    wall = max(figure["end"] for figure in figures) - min(figure["begin"] for figure in figures)
    images = sum(figure["images"] for figure in figures)
    return {
        "packed": packed,
        "threads": asked["threads"],
        "wall_s": wall,
        "images_per_s": images / wall,
        "cpu_ms_per_image": 1000 * sum(figure["cpu_s"] for figure in figures) / images,
        "peak_mem_mib": max(figure["peak_mem_mib"] for figure in figures),
    }


def compare(asked: dict[str, Any], packed: Sequence[int], rounds: int) -> list[dict[str, Any]]:
    """Returns a row for each number of processes: the fastest of ``rounds``, taken in turns, so that all meet the same
    other work on the machine."""
    tries = [[measure(asked, number) for number in packed] for _ in range(rounds)]
    best = [max(rows, key=lambda row: row["images_per_s"]) for rows in zip(*tries, strict=True)]
    return [row | {"speedup": row["images_per_s"] / best[0]["images_per_s"]} for row in best]


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
            f"{rows[0]['packed']}, {row['cpu_ms_per_image']:.2f} ms of processor an image, at most "
            f"{row['peak_mem_mib']:.0f} MiB each"
        )
    if file is not None:
        name = torch.cuda.get_device_name() if asked["device"] == "cuda" else f"{os.cpu_count()} processors"
        about = {"asked": asked, "device": asked["device"], "name": name, "torch": torch.__version__}
        file.write_text(json.dumps(about | {"rows": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
