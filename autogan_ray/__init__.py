"""Neural architecture search for GANs, orchestrated with Ray Tune.

The public names load on first use: ``import autogan_ray`` costs neither torch nor ray.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autogan_ray.nets.derived import build_discriminator, build_generator
    from autogan_ray.results.study_tables import load_study
    from autogan_ray.retraining.generator_file import load_generator
    from autogan_ray.spaces.genotype import Genotype
    from autogan_ray.spaces.published import load_genotype
    from autogan_ray.spaces.space import SearchSpace, load_space

__all__ = [
    "Genotype",
    "SearchSpace",
    "build_discriminator",
    "build_generator",
    "load_generator",
    "load_genotype",
    "load_space",
    "load_study",
]

_HOMES = {
    "Genotype": ("autogan_ray.spaces.genotype", "Genotype"),
    "SearchSpace": ("autogan_ray.spaces.space", "SearchSpace"),
    "build_discriminator": ("autogan_ray.nets.derived", "build_discriminator"),
    "build_generator": ("autogan_ray.nets.derived", "build_generator"),
    "load_generator": ("autogan_ray.retraining.generator_file", "load_generator"),
    "load_genotype": ("autogan_ray.spaces.published", "load_genotype"),
    "load_space": ("autogan_ray.spaces.space", "load_space"),
    "load_study": ("autogan_ray.results.study_tables", "load_study"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'autogan_ray' has no attribute {name!r}; it has {', '.join(__all__)}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return __all__
