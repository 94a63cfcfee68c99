"""Mistakes of the user: a family of exceptions, each of which ends the command line with exit code 2; and faults of
the machine.

What a user can cause is a :class:`UserError`, what a machine can cause is a :class:`MachineError`; an ``assert`` guards
what only a mistake in this package can break.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """The user asked for something impossible; the message names the setting, its value, the rule and a way on."""


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


class MachineError(RuntimeError):
    """What the user did not cause and a traceback would not explain, such as Ray that does not start: exit code 1."""


class AlreadyThereError(ResultsError):
    """What is asked for is there already, and ``--resume`` goes on with it: the command line adds the command."""


_LISTED = 20
"""Of more known names, a message lists so many."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message on an unknown name: the known names that are most like it, else all known names.

    >>> nearest("conv_3x4", ["conv_3x3", "none"])
    "did you mean 'conv_3x3'?"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3)
    if close:
        return "did you mean " + " or ".join(repr(match) for match in close) + "?"
    more = f", and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return "known: " + ", ".join(names[:_LISTED]) + more if names else "none is known"
