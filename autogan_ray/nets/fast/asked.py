"""Members of many groups in an order in which they can be computed together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from autogan_ray.nets.fast.merged import Member, Shares

F = TypeVar("F")
T = TypeVar("T")


class Asked(NamedTuple):
    """A member, and the number of the cell whose shares weight it."""

    cell: int
    member: Member


def into_runs(alike: dict[F, list[list[T]]], forms: Sequence[F], items: Sequence[T]) -> list[tuple[F, int]]:
    """Adds the items to those of their forms, as one run where all are alike; where they are: (form, number of run)."""
    together = all(form == forms[0] for form in forms)
    at = []
    for form, run in [(forms[0], list(items))] if together else [(f, [i]) for f, i in zip(forms, items, strict=True)]:
        runs = alike.setdefault(form, [])
        at.append((form, len(runs)))
        runs.append(run)
    return at


def shares_of(asked: Sequence[Asked], shares: Sequence[Shares]) -> Tensor:
    """[n]"""
    return torch.stack([shares[one.cell][one.member.arrow][one.member.number] for one in asked])
