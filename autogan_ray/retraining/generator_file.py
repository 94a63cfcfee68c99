"""The file of a retrained generator: weights, and in its header all that is needed to build the network again.

The format is safetensors: reading it executes no code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from autogan_ray.base.errors import GenotypeError, ResultsError
from autogan_ray.base.reading import parse_object, reading
from autogan_ray.config.sections import ComputeConfig
from autogan_ray.nets.compute import configured
from autogan_ray.nets.gan import Generator
from autogan_ray.nets.shape import Shape
from autogan_ray.results.retrained import GENERATOR
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.spaces.space import SearchSpace

FORMAT = "autogan_ray.generator/1"


def save_generator(file: Path, generator: nn.Module, genotype: Genotype, space: SearchSpace, shape: Shape) -> None:
    """Writes weights and buffers of a generator, with genotype, space and shape in the header."""
    header = {
        "format": FORMAT,
        "genotype": json.dumps(genotype.to_dict()),
        "space": json.dumps(space.to_dict()),
        "shape": json.dumps(asdict(shape)),
    }
    state = {name: value.detach().cpu().contiguous() for name, value in generator.state_dict().items()}
    save_file(state, str(file), metadata=header)


def generator_file(place: str | Path) -> Path:
    """Returns the file of a retrained generator, of which the file or the folder of its retraining is given."""
    return Path(place) / GENERATOR if Path(place).is_dir() else Path(place)


def load_generator(file: str | Path) -> Generator:
    """Builds a retrained generator from its file, or from the folder that its retraining left.

    Returns the generator in evaluation mode: z [B, latent_dim] -> images [B, C, H, W] in [-1, 1]. Its method
    ``generator.latents.draw`` makes z, for a class-conditional generator with the classes.

    Raises ResultsError for a file that is absent, torn, or no generator of this project.
    """
    file = generator_file(file)
    header = _read_header(file)
    with reading(file, ResultsError):
        weights = load_file(str(file))
        genotype, space = Genotype.from_dict(header["genotype"]), SearchSpace.from_dict(header["space"], str(file))
        try:
            space.check(genotype)
        except GenotypeError as error:
            raise ResultsError(f"{file} is damaged: {error}") from error
        shape = Shape(**header["shape"] | {"class_shares": _shares(header["shape"].get("class_shares", []))})
        with torch.device("meta"):  # takes no memory, whatever the header asks for
            outline = Generator(space, shape, genotype.choices)
        _check_weights(file, outline, weights)
        generator = Generator(space, shape, genotype.choices)
        configured(generator, ComputeConfig(channels_last=False), generator.image_size)
        generator.load_state_dict(weights)
    return generator.eval()


def _shares(values: list[float]) -> tuple[float, ...]:
    """How often each class is drawn. Raises ValueError for what no class can be drawn by."""
    if values and not (all(0 <= value < math.inf for value in values) and sum(values) > 0):
        raise ValueError(f"class_shares = {values!r} are no shares of classes")
    return tuple(values)


def _check_weights(file: Path, outline: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Raises ResultsError unless the header describes a network of the weights that the file holds."""
    wanted, held = _shapes(outline.state_dict()), _shapes(weights)
    for name in sorted({*wanted, *held}):
        if wanted.get(name) != held.get(name):
            raise ResultsError(
                f"{file} is damaged: its header describes {name} of shape {wanted.get(name)}, and it holds "
                f"{held.get(name)}"
            )


def _shapes(weights: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of each weight by its plain name: spectral norm renames a weight, and on ``meta`` there is none."""
    plain = {name.replace(".parametrizations.weight.original", ".weight"): weights[name] for name in weights}
    return {name: tuple(tensor.shape) for name, tensor in plain.items() if ".parametrizations." not in name}


def _read_header(file: Path) -> dict[str, Any]:
    """Genotype, space and shape of a generator's file, as plain values. Raises ResultsError."""
    if not file.is_file():
        hint = "" if file.is_absolute() else "; a path of a table is relative to its study's folder: study.path(...)"
        raise ResultsError(f"generator file {str(file)!r} does not exist{hint}")
    try:
        with safe_open(str(file), framework="pt") as opened:
            header = opened.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ResultsError(f"generator file {str(file)!r} cannot be read: {error}") from error
    if header.get("format") != FORMAT:
        raise ResultsError(f"{str(file)!r} is no generator of this project: format is {header.get('format')!r}")
    return {
        key: parse_object(header.get(key, ""), f"{file}, {key}", ResultsError) for key in ("genotype", "space", "shape")
    }
