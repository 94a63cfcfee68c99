"""What a study costs, for people and as numbers: images shown to D, and hours of this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from autogan_ray.cli.text import duration

if TYPE_CHECKING:
    from autogan_ray.study.cost import Times
    from autogan_ray.study.plan import Plan

INDENT = "\n           "


def cost_text(plan: Plan, times: Times | str) -> str:
    """Returns the cost in a few lines.

    Args:
        times: from :func:`~autogan_ray.study.cost.expected_times`: seconds, or why there are none.
    """
    from autogan_ray.study.cost import expected_share

    tune = plan.study.tune
    whole, share, pruned = tune.num_trials * plan.study.search.kimg, expected_share(tune), tune.scheduler != "none"
    images = f"{whole:g} kimg" + (f" without pruning; about {whole * share:.4g} kimg ({share:.0%}) with ASHA" * pruned)
    if isinstance(times, str):
        return f"{images}{INDENT}time: not known, {times}"
    hours = f"about {duration(times.whole_s)}" + (f" without pruning; {duration(times.pruned_s)} with ASHA" * pruned)
    of = f" of {times.proposable}" if times.timed < times.proposable else ""
    which = f"mean of {times.timed}{of} configurations" if times.proposable > 1 else "one configuration"
    return INDENT.join(
        [
            images,
            f"{hours}; {plan.slots} side by side, {1000 * times.step_s:.3g} ms a step, "
            f"{times.evaluation_s:.2g} s an evaluation",
            f"(timed on this machine: {times.device}, {which})",
        ]
    )


def cost_numbers(plan: Plan, times: Times | str) -> dict[str, Any]:
    """Returns the same for ``--json``; hours are null where they are not known, and ``not_timed`` says why."""
    from autogan_ray.study.cost import expected_share

    whole = plan.study.tune.num_trials * plan.study.search.kimg
    numbers = {"kimg": whole, "kimg_with_asha": whole * expected_share(plan.study.tune)}
    if isinstance(times, str):
        return numbers | {"hours": None, "hours_with_asha": None, "not_timed": times}
    known = asdict(times)
    return numbers | {
        "hours": known.pop("whole_s") / 3600,
        "hours_with_asha": known.pop("pruned_s") / 3600,
        "trials_side_by_side": plan.slots,
        **known,
    }
