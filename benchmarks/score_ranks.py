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
from pathlib import Path
from typing import Any

import click
import pandas as pd
import versus_stats as stats
from _report import ends, markdown_table, plain

from autogan_ray.base.errors import UserError
from autogan_ray.cli.text import number
from autogan_ray.results.study import Study, load_study

SCORES = ["fid_derived", "fid_supernet"]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of Markdown.")
def main(folders: tuple[Path, ...], as_json: bool) -> None:
    """Rank the trials of the studies in FOLDERS; several of the same settings are taken together."""
    try:
        summary = summarise(pd.concat([points_of(load_study(folder)) for folder in folders]))
    except UserError as error:
        raise click.UsageError(str(error)) from error
    click.echo(json.dumps(summary, indent=2) if as_json else markdown(summary))


def points_of(study: Study) -> pd.DataFrame:
    """Returns a row an evaluation of a retrained trial: ``trial``, ``kind``, ``retrained`` (mean of seeds), scores.

    Raises:
        UserError: fewer than three trials were retrained.
    """
    again = study.evaluations[study.evaluations["source"] == "retrain"].dropna(subset="fid")
    means = again.groupby("genotype_id")["fid"].mean().rename("retrained")
    every = study.trials[["trial_id", "genotype_id", "space", "relaxation"]]
    trials = every.merge(means, on="genotype_id")
    if len(trials) < 3:
        raise UserError(
            f"{study.folder}: {len(trials)} of {len(every)} trials have been retrained, and a ranking takes "
            f"three; python studies/retrain.py {study.folder} --trial best --top {len(every)}"
        )
    points = trials.merge(study.history[["trial_id", "evaluation", *SCORES]].sort_values("evaluation"), on="trial_id")
    trial, kind = f"{study.folder}/" + points["trial_id"], points["space"] + ", " + points["relaxation"]
    return points.assign(trial=trial, kind=kind)


def summarise(points: pd.DataFrame) -> dict[str, Any]:
    """Returns ``trials``: a row each, with its scores; ``evaluations``: a row each, with how its scores rank.

    Raises:
        UserError: trials were stopped, so that what is left was chosen by the score in question.
    """
    lengths = points.groupby("trial", sort=False).size()
    if lengths.nunique() > 1:
        raise UserError(
            f"{lengths.idxmin()}: {lengths.min()} evaluations, others have {lengths.max()}; trials that were stopped "
            "by a score cannot say what it is worth: run the study with --set 'tune.scheduler=\"none\"'"
        )
    trials = points.groupby(["trial", "kind", "retrained"], sort=False)[SCORES].agg(list).reset_index()
    evaluations = [
        {"evaluation": evaluation}
        | {score: _ranking(rows, score) for score in SCORES}
        | {"difference": _difference(rows)}
        for evaluation, rows in points.groupby("evaluation")
    ]
    summary: dict[str, Any] = plain({"trials": trials, "evaluations": evaluations})
    return summary


def _ranking(points: pd.DataFrame, score: str) -> dict[str, Any] | None:
    """Says how a score ranks trials at one evaluation; None where the evaluation did not score it."""
    points = points.dropna(subset=score)
    correlation = stats.kendall(points[score], points["retrained"])
    if correlation.tau is None:
        return None
    best = points.sort_values([score, "retrained"])["retrained"].head(-(-len(points) // 3))
    return vars(correlation) | {
        "within": _estimate(stats.kendall_within(points[score], points["retrained"], points["kind"])),
        "best_third_minus_all": best.mean() - points["retrained"].mean(),
    }


def _difference(points: pd.DataFrame) -> list[float | None] | None:
    """Returns the difference of the scores' taus over the same trials, with its bootstrap; None under three trials."""
    derived, supernet, retrained = points.dropna(subset=SCORES)[[*SCORES, "retrained"]].to_numpy().T
    if len(retrained) < 3:
        return None
    return _estimate(
        stats.bootstrap(
            lambda rows: (
                stats.row_taus(derived[rows], retrained[rows]) - stats.row_taus(supernet[rows], retrained[rows])
            ),
            range(len(retrained)),
        )
    )


def _estimate(interval: stats.Interval | None) -> list[float | None] | None:
    return None if interval is None else [interval.value, interval.low, interval.high]


def markdown(summary: dict[str, Any]) -> str:
    evaluations = pd.DataFrame(summary["evaluations"])
    columns: dict[str, Any] = {"evaluation": evaluations["evaluation"]}
    for title, score in zip(("derived", "supernet"), SCORES, strict=True):
        rankings = [ranking or {} for ranking in evaluations[score]]
        taus = [[ranking[key] for key in ("tau", "low", "high")] if ranking else None for ranking in rankings]
        columns[title] = map(_told, taus)
        columns[f"{title}, of one kind"] = [_told(ranking.get("within")) for ranking in rankings]
        columns[f"{title}, best third"] = [number(ranking.get("best_third_minus_all"), "+.3g") for ranking in rankings]
    columns["difference"] = map(_told, evaluations["difference"])
    return f"{len(summary['trials'])} trials\n\n{markdown_table(columns)}"


def _told(estimate: list[float] | None) -> str:
    """Writes an estimate with the ends of its interval."""
    return "-" if estimate is None else f"{estimate[0]:+.2f} ({ends(*estimate[1:], form='+.2f')})"


if __name__ == "__main__":
    main()
