"""``simulate``: which setting of ASHA would have kept the best of trials that were run, and at what cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autogan_ray.base.errors import ResultsError
from autogan_ray.cli import commands, options
from autogan_ray.cli.text import echo, number, table

if TYPE_CHECKING:
    import pandas as pd

    from autogan_ray.results.search_curves import Recording, SearchCurve

GRACES = (1, 2, 3, 4)
FACTORS = (2.0, 3.0, 4.0)
_HEADING = (
    "{curves} curves of up to {max_evaluations} evaluations ({cut_curves} cut, {diverged_curves} diverged), {orders} "
    "orders of arrival, {slots} trials side by side"
)
_BY_EVALUATIONS = "trials are compared by the number of their evaluations all the same, as ASHA does; cost counts these"


class Share(options.Number):
    """A share, 0 to 1."""

    def __init__(self, least: float = 0) -> None:
        super().__init__(min=least, max=1)


@click.command()
@click.argument("history", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--orders", type=options.Count(1, 10_000), default=200, show_default=True, help="Orders of arrival.")
@click.option("--slots", type=options.Count(min=1), help="Trials side by side (default: the study's GPUs, else 2).")
@click.option(
    "--max-evaluations", "last", type=options.Count(min=2), help="Evaluations of a whole trial (default: the study's)."
)
@click.option(
    "--grace", "graces", type=options.Count(min=1), multiple=True, help="Evaluations before a decision; repeatable."
)
@click.option("--factor", "factors", type=options.Number(min=1.1), multiple=True, help="Reduction factor; repeatable.")
@click.option(
    "--may-lose", type=Share(0.001), default=0.05, show_default=True, help="Share of orders that may lose the best."
)
@click.option(
    "--cut-limit", type=Share(), default=0.1, show_default=True, help="Share of decisions that may lack scores."
)
@options.seed(default=0, show_default=True, help="Seed of the orders and of random stopping.")
@options.as_json
def simulate(
    history: tuple[Path, ...],
    orders: int,
    slots: int | None,
    last: int | None,
    graces: tuple[int, ...],
    factors: tuple[float, ...],
    may_lose: float,
    cut_limit: float,
    seed: int,
    as_json: bool,
) -> None:
    """Replay the curves of studies under settings of ASHA, and advise one.

    HISTORY is a study's folder or its history.parquet; the curves of several are pooled.
    """
    from autogan_ray.results.search_curves import pooled, read_recording, unlike_training

    recordings = [read_recording(path if path.is_file() else options.study_folder(path)) for path in history]
    _check_pruned_by_score(recordings)
    curves, last = pooled(recordings, last)
    slots = slots or recordings[0].slots
    if unlike := unlike_training(recordings):
        echo(f"warning: {unlike}; {_BY_EVALUATIONS}", err=True)
    grid = _grid(last, graces, factors, recordings)
    echo(f"replaying {len(curves)} curves in {orders} orders under {len(grid)} settings", err=True)
    from autogan_ray.tune.simulation import Setting, share_beyond
    from autogan_ray.tune.simulation import simulate as replayed

    settings = [Setting(grace, factor, best) for best in (False, True) for grace, factor in grid]
    found = replayed(curves, last, settings, orders, slots, seed)
    record = _recording_whole(recordings, last)
    if share_beyond(found) > cut_limit:
        raise ResultsError(_refusal(curves, last, share_beyond(found), cut_limit, record))
    reason, advice = _conclusion(found, orders, may_lose, cut_limit, record)
    if any(last < recording.max_evaluations for recording in recordings):
        reason, advice = _of_the_first(last, reason, advice, recordings), []
    counts = {
        "curves": len(curves),
        "cut_curves": sum(curve.is_cut(last) for curve in curves),
        "diverged_curves": sum(curve.diverged for curve in curves),
        "max_evaluations": last,
        "orders": orders,
        "slots": slots,
        "seed": seed,
    }
    if as_json:
        rows = json.loads(found.to_json(orient="records"))
        echo(json.dumps({**counts, "settings": rows, "reason": reason, "advice": advice}, indent=2))
        return
    echo(_HEADING.format_map(counts))
    echo(_shown(found))
    echo(reason)
    if advice:
        echo("  " + " ".join(f"--set {setting}" for setting in advice))


def _check_pruned_by_score(recordings: Sequence[Recording]) -> None:
    """Raises ResultsError for a study that does not stop trials by their scores alone, as the replay does."""
    for recording in recordings:
        if recording.asha is not None and recording.pruned_by != "fid":
            raise ResultsError(
                f"{recording.file}: trials of this study were stopped by tune.prune_by = {recording.pruned_by!r}, and "
                "what is replayed is stopping by scores alone; give a study with tune.prune_by = 'fid'"
            )


def _grid(
    last: int, graces: Sequence[int], factors: Sequence[float], recordings: Sequence[Recording]
) -> list[tuple[int, float]]:
    """Graces and reduction factors to try: those that were asked for; else the usual ones and the studies' own.

    Raises ResultsError for a grace that leaves no decision.
    """
    for grace in graces:
        if grace >= last:
            raise ResultsError(
                f"--grace {grace}: trials have {last} evaluations, and nothing is decided at the last; give at most "
                f"{last - 1}"
            )
    if last < 2:
        raise ResultsError(f"the trials in {recordings[0].file} have one evaluation: there is nothing to stop")
    usual = [grace for grace in GRACES if grace < last]
    grid = {(grace, factor) for grace in graces or usual for factor in factors or FACTORS}
    if not graces and not factors:
        grid |= {own for recording in recordings if (own := recording.asha) is not None and own[0] < last}
    return sorted(grid)


def _recording_whole(recordings: Sequence[Recording], last: int) -> str | None:
    """The command that runs the trials of the first study with cut curves whole; None where no curve was cut."""
    cut = (one for one in recordings if any(curve.is_cut(last) for curve in one.curves))
    recording, whole = next(cut, None), ["--set", "tune.scheduler=none"]
    if recording is None:
        return None
    if recording.command:
        return commands.varied(recording.command, "--name", f"{recording.name}-whole", *whole)
    return commands.command("run", "STUDY", *whole)


def _refusal(curves: Sequence[SearchCurve], last: int, share: float, limit: float, record: str | None) -> str:
    cut = sum(curve.is_cut(last) for curve in curves)
    return (
        f"{cut} of {len(curves)} curves were cut before evaluation {last}, and {share:.0%} of the decisions would fall "
        f"beyond their ends, where no score is known: more than --cut-limit {limit:g}. Record whole curves by\n"
        f"  {record}"
    )


def _conclusion(
    found: pd.DataFrame, orders: int, may_lose: float, cut_limit: float, record: str | None
) -> tuple[str, list[str]]:
    """What follows from the table in words, and the settings of a study that are advised, ``tune.NAME=VALUE``.

    Args:
        record: the command that records whole curves; None where all are.
    """
    from autogan_ray.tune.simulation import FEWEST_CURVES, advised, fewest_orders

    little, judged, fewest = "warning: nothing can be concluded from", found["judged"].max(), fewest_orders(may_lose)
    if judged < FEWEST_CURVES:
        return f"{little} {judged} curves that have a score at a decision; it takes {FEWEST_CURVES} at least", []
    if orders < fewest:
        return f"{little} --orders {orders}; with --may-lose {may_lose:g} it takes {fewest} at least", []
    row, undecided = advised(found, may_lose, cut_limit)
    lines = [_undecided(each, may_lose, cut_limit) for _, each in undecided.iterrows()]
    if (undecided["cut"] > cut_limit).any():
        lines += ["whole curves would tell; record them by", f"  {record}"]
    rule = f"the best in at least {100 * (1 - may_lose):.4g}% of orders, with less regret than by chance"
    if row is not None:
        lines.append(f"advised at {row['cost']:.0%} of the cost: the cheapest known to keep {rule}")
        advice = _settings(row)
    elif undecided.empty:
        lines.append(f"no setting beats running all trials whole: none keeps {rule}")
        advice = ["tune.scheduler=none"]
    else:
        lines.append(f"nothing is advised: only undecided settings may keep {rule}")
        advice = []
    return "\n".join(lines), advice


def _of_the_first(last: int, reason: str, advice: Sequence[str], recordings: Sequence[Recording]) -> str:
    """What is concluded from a replay of the first evaluations; for whole trials, no setting follows from it."""
    lengths = {recording.max_evaluations for recording in recordings}
    whole, record = max(lengths), _recording_whole(recordings, max(lengths))
    lines = [f"for the first {last} of {whole} evaluations alone:", reason]
    if advice:
        lines.append("  " + ", ".join(advice))
    lines.append(
        f"for whole trials nothing is advised: they go on to evaluation {whole}, with decisions that were not replayed "
        f"and perhaps another best; and with tune.max_evaluations={last} a study spreads {last} evaluations over the "
        "same search.kimg, which is another search. Replay "
        + ("all evaluations, without --max-evaluations" if len(lengths) == 1 else "the studies one by one, whole")
    )
    if record:
        lines += ["whole curves are recorded by", f"  {record}"]
    return "\n".join(lines)


def _settings(row: pd.Series) -> list[str]:
    return [
        "tune.scheduler=asha",
        f"tune.grace_evaluations={row['grace_evaluations']}",
        f"tune.reduction_factor={row['reduction_factor']:g}",
    ]


def _undecided(row: pd.Series, may_lose: float, cut_limit: float) -> str:
    """Why it is not known whether a setting keeps the best."""
    from autogan_ray.tune.simulation import FEWEST_CURVES

    if row["cut"] > cut_limit:
        why = (
            f"{row['cut']:.1%} of its decisions lie beyond the ends of cut curves, more than --cut-limit {cut_limit:g}"
        )
    elif row["best_survives_low"] < 1 - may_lose:
        low, high = row["best_survives_low"], row["best_survives_high"]
        why = f"it keeps the best in {low:.1%} to {high:.1%} of orders; more --orders would tell"
    else:
        why = f"{row['judged']} curves have a score at its first decision, and it takes {FEWEST_CURVES} at least"
    return (
        f"undecided: grace {row['grace_evaluations']}, factor {row['reduction_factor']:g} at {row['cost']:.0%} of the "
        f"cost: {why}"
    )


def _shown(found: pd.DataFrame) -> str:
    """The table of all settings; what stands in brackets are intervals of 95 % over the orders."""
    titles = (
        *("judged by", "grace", "factor", "decides at", "cost", "best survives", "regret"),
        *("random: survives", "regret", "cut"),
    )
    rows = []
    for row in found.to_dict(orient="records"):
        setting = ("none", "-", "-", "-")
        if row["scheduler"] == "asha":
            judged, decides = "best so far" if row["best_so_far"] else "score", ",".join(map(str, row["decides_at"]))
            setting = (judged, row["grace_evaluations"], number(row["reduction_factor"]), decides)
        outcomes = [*_outcome(row, ""), *_outcome(row, "random_")]
        rows.append((*setting, f"{row['cost']:.0%}", *outcomes, f"{row['cut']:.0%}"))
    return table(titles, rows)


def _outcome(row: dict[str, Any], prefix: str) -> tuple[str, str]:
    """Survival of the best trial in per cent, and regret, each with its interval."""

    def with_interval(name: str, form: str, factor: float = 1.0) -> str:
        value, low, high = (number(factor * row[f"{prefix}{name}{end}"], form) for end in ("", "_low", "_high"))
        return f"{value} ({low}-{high})"

    return with_interval("best_survives", ".0f", 100.0).replace(" ", "% ", 1), with_interval("regret", ".3g")
