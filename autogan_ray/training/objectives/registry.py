"""Objectives by name."""

from __future__ import annotations

from importlib import import_module

from autogan_ray.training.objectives.base import Objective


def objective_named(name: str) -> Objective:
    """Returns the objective of a name that the configuration has checked."""
    objective: Objective = import_module(f"autogan_ray.training.objectives.{name}").OBJECTIVE
    return objective
