"""What do the extractors see? Frechet distances of disturbed real images to other real images.

    python benchmarks/extractor_sensitivity.py --set data.source=cifar10

Three disjoint samples are drawn by the seed from a labelled data set: references, images that are disturbed, and more
of the same from which classes are left out. A draw takes ``N`` references and ``N`` images of each disturbed set; all
sets of a draw meet the same references, so that their differences to the undisturbed set are paired. ``--count
N:DRAWS`` may be repeated. Draws never share references; they share disturbed images where ``--images`` is below
N * DRAWS.

Prints Markdown: for each N and extractor the distance (mean and standard deviation over the draws), and by how much
it exceeds that of undisturbed images, with Student's 95 % interval over the draws; then the Inception Score over the
extractor's own classes. Levels at different N or of different extractors do not compare. ``--side`` resizes
EfficientNet-Lite0's images to another side, to see what it costs and brings.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import click
import numpy as np
import torch
import versus_stats as stats
from _report import ends, markdown_table, plain, with_sd
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from autogan_ray.base.errors import UserError
from autogan_ray.config.overrides import parse_override
from autogan_ray.config.sections import DataConfig, MetricsConfig
from autogan_ray.metrics.extractors import efficientnet_lite0
from autogan_ray.metrics.extractors.registry import extractor_named, metric_label
from autogan_ray.metrics.features import Extractor, Features
from autogan_ray.metrics.scores import Statistics, covariance_root, frechet_distance, inception_score
from autogan_ray.training.data import ImageData, load_data

Pixels = np.ndarray
"""uint8 [N, C, H, W]."""

REAL = "undisturbed"


def noisy(images: Pixels, sigma: float) -> Pixels:
    """Adds Gaussian noise of so many grey levels, drawn anew for each pixel and channel."""
    return levels(images + np.random.default_rng(0).normal(0, sigma, images.shape))


def blurred(images: Pixels, sigma: float) -> Pixels:
    """Blurs with a Gaussian of so many pixels."""
    return levels(gaussian_filter(images.astype(np.float32), (0, 0, sigma, sigma)))


def grey(images: Pixels) -> Pixels:
    """Replaces each pixel by its luma (ITU-R BT.601)."""
    luma = np.tensordot(np.float32([0.299, 0.587, 0.114]), images, (0, 1))
    return np.repeat(levels(luma)[:, None], 3, axis=1)


def compressed(images: Pixels, quality: int) -> Pixels:
    """Encodes and decodes each image as JPEG."""

    def one(image: Pixels) -> Pixels:
        buffer = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(buffer, "JPEG", quality=quality)
        return np.asarray(Image.open(buffer)).transpose(2, 0, 1)

    return np.stack([one(image) for image in images])


def levels(images: np.ndarray) -> Pixels:
    """Rounds to 8 bits."""
    return images.round().clip(0, 255).astype(np.uint8)


DISTURBANCES: Mapping[str, Callable[[Pixels], Pixels]] = {
    "noise, sigma 8 levels": lambda images: noisy(images, 8),
    "noise, sigma 25": lambda images: noisy(images, 25),
    "blur, sigma 0.5 px": lambda images: blurred(images, 0.5),
    "blur, sigma 1 px": lambda images: blurred(images, 1),
    "JPEG, quality 50": lambda images: compressed(images, 50),
    "grey": grey,
    "mirrored": lambda images: images[..., ::-1],
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--set", "settings", multiple=True, metavar="data.KEY=VALUE", help="The data set; repeatable.")
@click.option("--extractor", "names", multiple=True, default=["classifier", "efficientnet-lite0"], show_default=True)
@click.option("--count", "counts", multiple=True, default=["1000:5", "5000:2"], show_default=True, help="N:DRAWS")
@click.option("--images", default=5000, show_default=True, help="Images in a disturbed set.")
@click.option("--only", multiple=True, help="A disturbance, by the beginning of its name; repeatable. All without it.")
@click.option("--side", type=int, help="Side in px to which EfficientNet-Lite0's images are resized.")
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of Markdown.")
def main(
    settings: Sequence[str],
    names: Sequence[str],
    counts: Sequence[str],
    images: int,
    only: Sequence[str],
    side: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Measure which disturbances of real images the extractors see."""
    if side is not None:
        efficientnet_lite0.SIDE = side  # read at each call; nothing here is cached under the extractor's digest
    chosen = {name: f for name, f in DISTURBANCES.items() if not only or name.startswith(tuple(only))}
    try:
        given = {key.removeprefix("data."): value for key, value in map(parse_override, settings)}
        data = load_data(DataConfig.parse(given, "--set", UserError))
        report = measure(data, names, [_count(text) for text in counts], images, chosen, seed)
    except UserError as error:
        raise click.UsageError(str(error)) from error
    click.echo(json.dumps(plain(report), indent=2) if as_json else markdown(report))


def _count(text: str) -> tuple[int, int]:
    n, _, draws = text.partition(":")
    if not (n.isdecimal() and draws.isdecimal() and int(n) > 1 and int(draws) > 0):
        raise UserError(f"--count {text}: write N:DRAWS, such as 1000:5")
    return int(n), int(draws)


def measure(
    data: ImageData,
    names: Sequence[str],
    counts: Sequence[tuple[int, int]],
    images: int,
    disturbances: Mapping[str, Callable[[Pixels], Pixels]],
    seed: int,
) -> dict[str, Any]:
    """Returns ``rows``: extractor, set, N, distances of all draws; ``scores``: the Inception Scores; and the costs.

    Raises:
        UserError: the data set has no labels, no colour, or too few images.
    """
    references = max(n * draws for n, draws in counts)
    if data.labels is None or data.channels != 3 or len(data) < references + 2 * images:
        raise UserError(f"{data.described()}: wanted are {references + 2 * images} labelled colour images")
    order = np.random.default_rng(seed).permutation(len(data))[: references + 2 * images]
    report: dict[str, Any] = {"data": data.described(), "seed": seed, "images": images, "rows": [], "scores": []}
    report["ms_an_image"] = {}
    for name in names:
        weights = extractor_named(name).prepare(data, MetricsConfig(extractor=name))
        extractor, start = Extractor(weights), time.perf_counter()
        clean = extractor(torch.from_numpy(data.images[order]))
        report["ms_an_image"][name] = 1e3 * (time.perf_counter() - start) / len(order)
        real = clean.embedding[:references]
        roots = {(n, k): referred(real[k * n : (k + 1) * n]) for n, draws in counts for k in range(draws)}
        for title, found in feature_sets(extractor, clean, data, order, references, images, disturbances):
            about = {"extractor": name, "set": title}
            click.echo(f"{name}: {title}", err=True)
            report["scores"].append({**about, "inception_score": inception_score(found.logits)[0]})
            for n, draws in counts:
                distances = [
                    frechet_distance(Statistics.of(part(found.embedding, k, n)), *roots[n, k]) for k in range(draws)
                ]
                report["rows"].append({**about, "n": n, "distances": distances})
    return report


def feature_sets(
    extractor: Extractor,
    clean: Features,
    data: ImageData,
    order: np.ndarray,
    references: int,
    images: int,
    disturbances: Mapping[str, Callable[[Pixels], Pixels]],
) -> Iterator[tuple[str, Features]]:
    """Yields the features of each set of images with its title, the undisturbed one first.

    Args:
        clean: features of the images ``order``: references, those that are disturbed, and as many again.
    """
    assert data.labels is not None
    first = torch.arange(references, references + images)
    yield REAL, _taken(clean, first)
    labels = data.labels[order[references:]]
    classes = int(data.labels.max()) + 1
    for lost in (1, classes // 2):
        kept = torch.from_numpy(np.flatnonzero(labels >= lost)) + references
        yield f"{lost} of {classes} classes lost", _taken(clean, kept[:images])
    yield "half of the images, twice", _taken(clean, first.repeat_interleave(2))
    for title, disturbed in disturbances.items():
        changed = disturbed(data.images[order[references : references + images]])
        yield title, extractor(torch.from_numpy(np.ascontiguousarray(changed)))


def _taken(features: Features, indices: Tensor) -> Features:
    return Features(features.embedding[indices], features.logits[indices])


def referred(features: Tensor) -> tuple[Statistics, Tensor]:
    """Returns the statistics of the references of a draw, and the root of their covariance."""
    statistics = Statistics.of(features)
    return statistics, covariance_root(statistics)


def part(features: Tensor, draw: int, n: int) -> Tensor:
    """Returns the ``n`` features of a draw; after the last image comes the first again."""
    return features[(draw * n + torch.arange(n)) % len(features)]


def markdown(report: Mapping[str, Any]) -> str:
    """Returns a table for each N, a table of Inception Scores, and what a feature cost."""
    rows, names = report["rows"], list(report["ms_an_image"])
    by_key = {(row["extractor"], row["set"], row["n"]): row["distances"] for row in rows}
    titles, counts = (list(dict.fromkeys(row[key] for row in rows)) for key in ("set", "n"))
    lines = [f"{report['data']}; seed {report['seed']}, {report['images']} images in a disturbed set", ""]
    for n in counts:
        columns: dict[str, list[str]] = {f"N = {n:,}, {len(by_key[names[0], REAL, n])} draws": titles}
        for name in names:
            label = metric_label(name)
            found = [by_key[name, title, n] for title in titles]
            above = [stats.paired_interval(np.subtract(distances, by_key[name, REAL, n])) for distances in found]
            columns[label] = [_mean_sd(distances) for distances in found]
            columns[f"above {REAL}, {label}"] = [
                "-" if title == REAL or over is None else f"{over.value:.3g} ({ends(over.low, over.high)})"
                for title, over in zip(titles, above, strict=True)
            ]
        lines += [markdown_table(columns), ""]
    score = {(row["extractor"], row["set"]): f"{row['inception_score']:.3f}" for row in report["scores"]}
    columns = {"Inception Score over its own classes": titles}
    columns |= {name: [score[name, title] for title in titles] for name in names}
    cost = ", ".join(f"{name} {ms:.2g} ms" for name, ms in report["ms_an_image"].items())
    return "\n".join([*lines, markdown_table(columns), "", f"An image cost {cost} on one core."])


def _mean_sd(distances: Sequence[float]) -> str:
    return with_sd(float(np.mean(distances)), float(np.std(distances, ddof=1)) if len(distances) > 1 else None)


if __name__ == "__main__":
    main()
