"""Neural architecture search for GANs, orchestrated with Ray Tune.

A public name is imported on its first use, so that ``import autogan_ray`` imports neither torch nor Ray.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autogan_ray.nets.derived import build_discriminator, build_generator
    from autogan_ray.results.genotypes import load_genotype
    from autogan_ray.results.study import load_studies, load_study
    from autogan_ray.retraining.generator_file import load_generator
    from autogan_ray.spaces.genotype import Genotype
    from autogan_ray.spaces.load import load_space
    from autogan_ray.spaces.space import SearchSpace

__all__ = [
    "Genotype",
    "SearchSpace",
    "build_discriminator",
    "build_generator",
    "load_generator",
    "load_genotype",
    "load_space",
    "load_studies",
    "load_study",
]

_MODULES = {
    "Genotype": "autogan_ray.spaces.genotype",
    "SearchSpace": "autogan_ray.spaces.space",
    "build_discriminator": "autogan_ray.nets.derived",
    "build_generator": "autogan_ray.nets.derived",
    "load_generator": "autogan_ray.retraining.generator_file",
    "load_genotype": "autogan_ray.results.genotypes",
    "load_space": "autogan_ray.spaces.load",
    "load_studies": "autogan_ray.results.study",
    "load_study": "autogan_ray.results.study",
}
"""Public name -> the module that defines it."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'autogan_ray' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return __all__
