"""Mistakes of the user: one exception family, exit code 2 on the command line.

A broken invariant of our own is an ``assert``; everything a user can cause is a :class:`UserError`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """What was asked cannot be done; the message names the culprit, its value, the rule and a way on."""


class SpaceError(UserError):
    """A search space that cannot be built: unknown operation, dead node, cycle, wrong size."""


class GenotypeError(UserError):
    """A genotype that does not name one choice for each decision of its space."""


class ConfigError(UserError):
    """A study or setting that does not fit the schema."""


class NotFoundError(UserError):
    """A name that is neither shipped nor a file."""


class DataError(UserError):
    """A data set that is missing, unreadable, or of the wrong form."""


class MetricError(UserError):
    """A score that cannot be computed: weights missing, too few images, features not finite."""


class ResultsError(UserError):
    """A results folder or table that is missing or not of this project's form."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A half-sentence to end an "unknown name" message with: the nearest known names, else all of them.

    >>> nearest("conv_3x4", ["conv_3x3", "none"])
    "did you mean 'conv_3x3'?"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3)
    if close:
        return "did you mean " + " or ".join(repr(match) for match in close) + "?"
    return "known: " + ", ".join(names) if names else "none is known"
