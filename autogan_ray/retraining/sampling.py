"""Images from a retrained generator, written to files or scored again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from autogan_ray.base.errors import ConfigError, ResultsError
from autogan_ray.base.files import replace_text
from autogan_ray.base.folders import check_writable
from autogan_ray.base.reading import read_object
from autogan_ray.config.overrides import relocate
from autogan_ray.config.study import StudyConfig, differences
from autogan_ray.retraining.generator_file import generator_file, load_generator
from autogan_ray.retraining.grid import save_grid

FORMAT = "autogan_ray.images/1"
REQUEST = "images.json"
"""Beside images: which generator drew them, and from which random stream."""
_TOGETHER = 256
"""Images that are drawn at once."""


def write_images(checkpoint: Path, num: int, out: Path, seed: int, label: int | None) -> int:
    """Draws ``num`` images and writes them to ``out`` as 8-bit PNG files; returns how many were not there yet.

    A folder holds the images of one request: ``images.json`` says of which. The same request completes what an
    interrupted one left, bit for bit on the same machine. :func:`grid_file` shows the first images, 64 at most.

    Args:
        checkpoint: the generator's file, or the folder of its retraining.
        seed: of z and of the layers' noise.
        label: the class of all images; None draws classes as often as they occur in the data.

    Raises:
        ResultsError: ``checkpoint`` is no generator of this project; ``out`` holds other images, or anything else.
        ConfigError: the generator has no class ``label``; nothing can be written to ``out``.
    """
    import torch

    from autogan_ray.training.streams import layer_noise, stream, stream_seed, to_uint8

    generator = load_generator(checkpoint)
    classes = generator.latents.classes
    if label is not None and label >= classes:
        rule = f"its classes are 0 to {classes - 1}" if classes else "it is not class-conditional"
        raise ConfigError(f"--class {label}: {checkpoint} has no such class; {rule}")
    z = generator.latents.draw(num, stream(seed, "generate"), label)
    digest = hashlib.sha256(generator_file(checkpoint).read_bytes()).hexdigest()
    _begin(out, {"format": FORMAT, "generator_sha256": digest, "num": num, "seed": seed, "class": label}, checkpoint)
    files = [out / f"{index:06}.png" for index in range(num)]
    missing = {file for file in files if not file.is_file()}
    for index, batch in enumerate(z.split(_TOGETHER)):
        names = files[index * _TOGETHER :][: len(batch)]
        if missing.isdisjoint(names):
            continue
        with torch.no_grad(), layer_noise(stream_seed(seed, "generate noise", index), torch.device("cpu")):
            images = to_uint8(generator(batch)).numpy()
        for file, image in zip(names, images, strict=True):
            if file in missing:
                _write_png(file, image)
    grid = grid_file(out)
    if missing or not grid.is_file():
        first = np.stack([_read_png(file) for file in files[:64]])
        save_grid(temporary := grid.with_name(f".{grid.name}"), torch.from_numpy(first) / 127.5 - 1)
        temporary.replace(grid)
    return len(missing)


def grid_file(out: Path) -> Path:
    """Returns the picture of a folder's first images. It lies beside the folder, whose PNGs are all images."""
    named = out if out.name else out.absolute()
    return named.with_name(f"{named.name}-grid.png")


def _begin(out: Path, request: dict[str, Any], checkpoint: Path) -> None:
    """Makes a folder that holds the images of one request, or finds it.

    Raises ResultsError for a folder that holds anything else, ConfigError for one that cannot be written to.
    """
    check_writable(out, "--out")
    file = out / REQUEST
    if not file.is_file():
        if out.is_dir() and any(out.glob("[!.]*")):
            raise ResultsError(f"{out} is not empty and does not say whose images it holds; choose another --out")
        out.mkdir(parents=True, exist_ok=True)
        replace_text(file, json.dumps({**request, "generator": str(checkpoint.absolute())}, indent=2) + "\n")
        return
    try:
        stored = read_object(file, ResultsError)
        changed = differences({key: stored.get(key) for key in request}, request)
    except (OSError, ValueError) as error:
        raise ResultsError(f"{file} is damaged ({error}); choose another --out") from error
    if changed:
        listed = "\n  ".join([*changed, f"generator: {stored.get('generator')}"])
        raise ResultsError(f"{out} holds other images, which stay as they are; choose another --out:\n  {listed}")


def _write_png(file: Path, image: np.ndarray) -> None:
    """Writes one image [C, H, W] in one step, so that an interrupt leaves no half of a file."""
    temporary = file.with_name(f".{file.name}")
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(temporary, format="PNG")
    temporary.replace(file)


def _read_png(file: Path) -> np.ndarray:
    """Reads one image, [C, H, W]."""
    pixels = np.asarray(Image.open(file))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


@dataclass(frozen=True)
class ScoredAgain:
    """A score of a generator.

    Args:
        metric: as people read it.
        fid: None where the images are not finite.
        n_fake: number of fake images.
        warning: what keeps it from being compared with the study's earlier scores; None where nothing does.
    """

    metric: str
    fid: float | None
    n_fake: int
    warning: str | None


def score_again(checkpoint: Path, num: int | None, overrides: Sequence[str] = ()) -> ScoredAgain:
    """Scores a generator by the protocol of the study in whose folder it lies.

    Args:
        num: number of fake images; None takes the study's final number.
        overrides: ``key=value`` of where files lie now (:func:`autogan_ray.config.overrides.relocate`).

    Raises:
        ResultsError: ``checkpoint`` is no generator of this project, or lies in no study's folder; or the images are
            not those of the study.
        ConfigError: an override of anything else than a place.
    """
    from autogan_ray.metrics.evaluation import Evaluator, Protocol
    from autogan_ray.metrics.extractors.registry import metric_label
    from autogan_ray.metrics.features import Extractor
    from autogan_ray.metrics.measure import measure_against
    from autogan_ray.results.study import load_study
    from autogan_ray.study.study_extractor import other_extractor, study_extractor
    from autogan_ray.study.study_file import check_same_data
    from autogan_ray.training.data import load_study_data

    generator = load_generator(checkpoint)
    folder = next((parent for parent in checkpoint.resolve().parents if (parent / "studies.parquet").is_file()), None)
    if folder is None:
        raise ResultsError(f"{checkpoint} lies in no study's folder, so there is no protocol to score it by")
    stored = load_study(folder)
    config = stored.config
    relocate(config, overrides)
    study = StudyConfig.parse(config, str(folder), ConfigError)
    images = load_study_data(study.data, study.metrics)
    check_same_data(stored.about, images, folder)  # before an extractor is trained on them
    weights = study_extractor(stored.about, folder, images, study.metrics)
    measure = measure_against(images, study.metrics, weights=weights)
    protocol = Protocol.of(study, num or study.metrics.n_fake_final)
    evaluator = Evaluator(Extractor(measure.extractor), measure.real, protocol, "cpu")
    score = evaluator.score(generator, generator.latents, kid=False)
    return ScoredAgain(metric_label(weights.name), score.fid, protocol.n_fake, other_extractor(stored.about, weights))
