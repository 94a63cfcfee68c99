"""The methods there are: name -> factory. ``search.method`` of a study names one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from autogan_ray.search.methods.adversarial import Adversarial
from autogan_ray.search.methods.base import MethodFactory
from autogan_ray.search.methods.duality_gap import DualityGap
from autogan_ray.search.methods.random import Random
from autogan_ray.search.methods.reinforce.method import Reinforce

METHODS: Mapping[str, MethodFactory] = MappingProxyType(
    {"adversarial": Adversarial, "duality_gap": DualityGap, "reinforce": Reinforce, "random": Random}
)
