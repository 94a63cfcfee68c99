"""Known failures of a differentiable GAN search, recognised in a trial's records and said in plain words.

A symptom is a reason to look, not a verdict: it names what was seen, what it means, and what to try.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from autogan_ray.results.decidedness import ENTROPY_LIMIT
from autogan_ray.spaces.space import SearchSpace

Record = Mapping[str, Any]

VANISHED = 1e-6
"""Norm of the gradient of all logits of a network, below which nothing reaches them; usual are 1e-3 to 1."""
GAP = 3.0
"""The derived network's score over the mixture's."""
COLLAPSE = 2.0
"""A score over the best before it; of the trainings in NAS-GAN-Bench-101 one in ten collapses late."""
ONE_SIDED = 2 / 3
"""Fraction of a network's edges that took the same choice without weights, above which it has collapsed."""
_NUMBER = re.compile(r"-?\d[\d.,]*(e[+-]?\d+)?")


def symptoms(
    records: Sequence[Record], planned: int, space: SearchSpace, config: Mapping[str, Any] = MappingProxyType({})
) -> list[str]:
    """Returns sentences on what the latest evaluation of a trial shows; none where nothing is known to be wrong.

    Args:
        records: of one trial, in order; those without a score (it diverged) are left to its status.
        planned: evaluations of a trial that runs to its end.
        space: the trial's, which knows what its decisions' choices mean.
        config: of the trial; that of an earlier version, which had one objective, does not name it.
    """
    if not records or records[-1]["diverged"]:
        return []
    last = records[-1]
    objective = config.get("search", {}).get("objective", "hinge")
    saturated = _saturated(last) if objective == "hinge" else ()
    now = [*saturated, *_vanished(last), *_one_sided(last, space)]
    return [*now, *_gap(records), *_collapse(records), *_too_slow(records, planned)]


def kind_of(symptom: str) -> str:
    """Returns a symptom without its numbers: the same for all trials and evaluations that show it."""
    return _NUMBER.sub("", symptom)


def _saturated(last: Record) -> Iterator[str]:
    """Beyond its margins the hinge loss is flat (Lim and Ye 2017): D, and its logits, stop learning.

    Other objectives are nowhere flat, and scores that are compared in pairs have no level.
    """
    real, fake = last.get("d_real"), last.get("d_fake")
    if real is not None and fake is not None and real > 1 and fake < -1:
        yield (
            f"D is saturated: it scores real images {real:.2g} and fakes {fake:.2g} on average, beyond the margins 1 "
            "and -1 of its loss, so neither it nor its logits learn; lower optim.lr_d or search.d_steps_per_g_step"
        )


def _vanished(last: Record) -> Iterator[str]:
    for network in ("g", "d"):
        norm = last.get(f"grad_norm_arch_{network}")
        if norm is not None and norm < VANISHED:
            yield (
                f"no gradient reaches {network.upper()}'s logits (norm {norm:.1g}): its architecture stays as it is; "
                "look whether D is saturated or a relaxation too sharp (search.temperature_end)"
            )


def _one_sided(last: Record, space: SearchSpace) -> Iterator[str]:
    """Collapse to skips or to "no connection" (threads on DARTS: skips learn nothing, so never disturb, and win)."""
    decisions = space.decisions(last["genotype"]["image_size"])
    for network in ("generator", "discriminator"):
        chosen = last["genotype"][network]
        edges = [decision for decision in decisions if decision.name in chosen]
        for weightless in ({d.name: d.identity for d in edges}, {d.name: d.no_connection for d in edges}):
            able = {name: choice for name, choice in weightless.items() if choice is not None}
            taken = [choice for name, choice in able.items() if chosen[name] == choice]
            if len(able) >= 3 and len(taken) > ONE_SIDED * len(able):
                yield (
                    f"the {network} has collapsed to {taken[0]!r}: so are {len(taken)} of the {len(able)} edges that "
                    "may be; such networks retrain badly: lower optim.lr_arch_g and lr_arch_d, or lengthen "
                    "search.warmup"
                )


def _gap(records: Sequence[Record]) -> Iterator[str]:
    """At the latest evaluation that scored both: the mixture may be scored at some only (metrics.supernet_every)."""
    last = next((record for record in reversed(records) if record.get("fid_supernet") is not None), records[-1])
    derived, mixed = last.get("fid_derived"), last.get("fid_supernet")
    if derived is not None and mixed is not None and derived > GAP * max(mixed, 0.0) > 0:
        yield (
            f"the derived network scores {derived / mixed:.1f} times the mixture's ({derived:.4g} to {mixed:.4g}): the "
            "mixture's weights do not carry over; a harder relaxation (gumbel_hard) or a lower temperature narrows it"
        )


def _collapse(records: Sequence[Record]) -> Iterator[str]:
    best = min(record["fid"] for record in records)
    last = records[-1]["fid"]
    if last > COLLAPSE * best > 0:
        yield f"the score has risen from {best:.4g} to {last:.4g}: training collapses; the best evaluation is kept"


def _too_slow(records: Sequence[Record], planned: int) -> Iterator[str]:
    """Whether decisions fall fast enough to be made by the end, by the pace since the evaluation before."""
    if len(records) < 2 or len(records) >= planned:
        return
    for network in ("g", "d"):
        before, now = (record.get(f"entropy_{network}") for record in records[-2:])
        frozen = records[-2].get(f"loss_arch_{network}") is None  # the logits' warm-up, or no decisions
        if before is None or now is None or frozen or now <= ENTROPY_LIMIT:
            continue
        end = now - (before - now) * (planned - len(records))
        if end > ENTROPY_LIMIT:
            yield (
                f"{network.upper()}'s decisions will not be made: their entropy is {now:.2f} of uniform and ends near "
                f"{min(end, 1.0):.2f} at this pace; raise optim.lr_arch_{network}, or search.kimg"
            )
