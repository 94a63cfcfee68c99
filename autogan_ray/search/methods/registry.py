"""Finds the method that ``search.method`` of a study names: ``METHOD`` of ``search/methods/<name>.py``."""

from __future__ import annotations

from importlib import import_module

from autogan_ray.search.methods.base import ArchitectureMethod


def method_named(name: str) -> type[ArchitectureMethod]:
    """Returns the class of a method that the configuration knows."""
    return import_module(f"autogan_ray.search.methods.{name}").METHOD
