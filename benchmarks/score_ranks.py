"""Does the score by which a study stops its trials rank them as retraining does? Kendall's tau at each evaluation.

    python studies/run_study.py digits --name ranks --set 'tune.scheduler="none"' --set metrics.supernet_every=1
    python studies/retrain.py results/ranks --trial best --top 12 --seeds 2
    python benchmarks/score_ranks.py results/ranks

The question is that of ``metrics.rank_by``, asked where it matters: between trials with settings of their own, at the
evaluations where ASHA compares them. Every trial must have been retrained, so none may have been stopped; a trial
counts with the mean over seeds of its retrained genotype, which is that of its best evaluation by ``metrics.rank_by``:
the score that ranks also picked what it is judged by. Prints, for the score of the derived network and for that of
the mixture:

* tau with its bootstrap interval over trials: +1 would rank as retraining does;
* the same over those pairs of trials alone that have one space and one relaxation: how much of the first is no more
  than telling these apart;
* the retrained score of the best third by that evaluation, minus that of all: what choosing by it was worth;
* the difference of both taus (derived minus supernet), trials resampled together.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import versus_stats as stats

from autogan_ray.base.errors import UserError
from autogan_ray.results.study_tables import Study, load_study

SCORES = ("fid_derived", "fid_supernet")


class _Mistake(click.ClickException):
    exit_code = 2


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of Markdown.")
def main(folders: tuple[Path, ...], as_json: bool) -> None:
    """Rank the trials of the studies in FOLDERS; several of the same settings are taken together."""
    try:
        found = summarise([row for folder in folders for row in trials_of(load_study(folder))])
    except UserError as error:
        raise _Mistake(str(error)) from error
    click.echo(json.dumps(found, indent=2) if as_json else markdown(found))


def trials_of(study: Study) -> list[dict[str, Any]]:
    """A row a retrained trial: ``trial``, ``kind``, ``retrained`` (mean over seeds), each score's list of evaluations.

    Raises:
        UserError: fewer than three trials were retrained, or they have unequal numbers of evaluations.
    """
    again = study.evaluations[(study.evaluations["source"] == "retrain") & study.evaluations["fid"].notna()]
    means = again.groupby("genotype_id")["fid"].mean()
    rows = [
        {
            "trial": f"{study.folder}/{one['trial_id']}",
            "kind": f"{one['space']}, {one['relaxation']}",
            "retrained": float(means[one["genotype_id"]]),
            **{score: _scores(study, one["trial_id"], score) for score in SCORES},
        }
        for _, one in study.trials.iterrows()
        if one["genotype_id"] in means.index
    ]
    if len(rows) < 3:
        raise UserError(
            f"{study.folder}: {len(rows)} of {len(study.trials)} trials have been retrained, and a ranking takes "
            f"three; python studies/retrain.py {study.folder} --trial best --top {len(study.trials)}"
        )
    return rows


def _scores(study: Study, trial_id: str, score: str) -> list[float | None]:
    history = study.history[study.history["trial_id"] == trial_id].sort_values("evaluation")
    return [None if value != value else float(value) for value in history[score]]


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """``trials``: the rows; ``evaluations``: a row for each one that all trials came to.

    Raises:
        UserError: trials were stopped, so that what is left was chosen by the score in question.
    """
    lengths = {len(row[SCORES[0]]) for row in rows}
    if len(lengths) > 1:
        short = min(rows, key=lambda row: len(row[SCORES[0]]))
        raise UserError(
            f"{short['trial']}: {min(lengths)} evaluations, others have {max(lengths)}; trials that were stopped by a "
            "score cannot say what it is worth: run the study with --set 'tune.scheduler=\"none\"'"
        )
    retrained, kinds = [row["retrained"] for row in rows], [row["kind"] for row in rows]
    found = []
    for number in range(lengths.pop()):
        line: dict[str, Any] = {"evaluation": number + 1}
        for score in SCORES:
            line[score] = _ranking([row[score][number] for row in rows], retrained, kinds)
        line["difference"] = _difference(*([row[score][number] for row in rows] for score in SCORES), retrained)
        found.append(line)
    return {"trials": list(rows), "evaluations": found}


def _ranking(scores: Sequence[float | None], retrained: Sequence[float], kinds: Sequence[str]) -> dict[str, Any] | None:
    """None where the evaluation did not score it."""
    there = [(x, y, kind) for x, y, kind in zip(scores, retrained, kinds, strict=True) if x is not None]
    x, y = [one[0] for one in there], [one[1] for one in there]
    tau, ends = stats.kendall(x, y), stats.bootstrap_kendall(x, y)
    if tau is None or ends is None:
        return None
    kept = [again for _, again, _ in sorted(there)[: -(-len(there) // 3)]]
    return {
        "n": len(there),
        "tau": tau[0],
        "p": tau[1],
        "low": ends[0],
        "high": ends[1],
        "within": stats.kendall_within(x, y, [one[2] for one in there]),
        "best_third_minus_all": float(np.mean(kept) - np.mean(y)),
    }


def _difference(
    one: Sequence[float | None], other: Sequence[float | None], retrained: Sequence[float]
) -> list[float] | None:
    """Of two taus over the same trials: value and the ends of its 95 % percentile bootstrap."""
    there = [(x, y, z) for x, y, z in zip(one, other, retrained, strict=True) if x is not None and y is not None]
    if len(there) < 3:
        return None
    x, y, z = (np.asarray(side, dtype=float) for side in zip(*there, strict=True))
    whole = [stats.kendall(side, z) for side in (x, y)]
    if None in whole:
        return None
    rows = np.random.default_rng(0).integers(len(z), size=(stats.DRAWS, len(z)))
    draws = stats.row_taus(x[rows], z[rows]) - stats.row_taus(y[rows], z[rows])
    low, high = np.quantile(draws[np.isfinite(draws)], [0.025, 0.975])
    return [float(whole[0][0] - whole[1][0]), float(low), float(high)]  # type: ignore[index]


def markdown(found: dict[str, Any]) -> str:
    lines = [
        f"{len(found['trials'])} trials",
        "",
        "| evaluation | derived | of one kind | best third | supernet | of one kind | best third | difference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for line in found["evaluations"]:
        cells = [str(line["evaluation"])]
        for score in SCORES:
            cells += _cells(line[score])
        cells.append("-" if line["difference"] is None else _range(*line["difference"]))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cells(one: dict[str, Any] | None) -> list[str]:
    if one is None:
        return ["-", "-", "-"]
    within = "-" if one["within"] is None else _range(*one["within"])
    return [_range(one["tau"], one["low"], one["high"]), within, f"{one['best_third_minus_all']:+.3g}"]


def _range(value: float, low: float, high: float) -> str:
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f})"


if __name__ == "__main__":
    sys.exit(main())
