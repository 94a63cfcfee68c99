"""The methods there are: name -> factory. ``search.method`` of a study names one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from autogan_ray.search.first_order import FirstOrder
from autogan_ray.search.method import MethodFactory

METHODS: Mapping[str, MethodFactory] = MappingProxyType({"first_order": FirstOrder})
