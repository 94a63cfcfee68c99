"""How much do two studies with the same settings and different seeds agree: best genotype, operations, retrained score?

    python studies/run_study.py digits --name a --seed 0 && python studies/run_study.py digits --name b --seed 1
    for study in a b; do python studies/retrain.py results/$study --trial best --seeds 3; done
    python benchmarks/two_studies.py results/a results/b

Reads the tables of both folders and prints Markdown:

* the best trials: their spaces, settings and scores; the share of the decisions both have that they answer alike,
  beside the share that two uniform genotypes would;
* operations: the total variation distance (0 to 1) between the studies' frequencies of choices in the genotypes that
  their trials settled on, beside that of the same genotypes dealt out at random (mean, 95 % quantile, p-value);
* the retrained best networks: mean and standard deviation over seeds, their difference with Welch's interval.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import versus_stats as stats
from _report import markdown_table, plain, with_sd

from autogan_ray.base.errors import UserError
from autogan_ray.config.study import differences
from autogan_ray.results.study import Study, load_study
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.operations import OPERATIONS

DEALS = 2000
_FREE = ("seed", "name", "description", "study_id")
"""What two studies of a comparison may differ in."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("one", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of Markdown.")
def main(one: Path, other: Path, as_json: bool) -> None:
    """Compare the studies in folders ONE and OTHER."""
    try:
        agreement = compare(load_study(one), load_study(other))
    except UserError as error:
        raise click.UsageError(str(error)) from error
    click.echo(json.dumps(agreement, indent=2) if as_json else markdown(agreement))


def compare(first: Study, second: Study) -> dict[str, Any]:
    """Returns ``studies``: a row each; ``genotypes``, ``operations``, ``retrained``: how they agree; None is unknown.

    Raises:
        UserError: settings differ, the seed apart, or one has no trial with a score.
    """
    changes = [line for line in differences(first.config, second.config) if line.partition(":")[0] not in _FREE]
    if changes:
        raise UserError(
            f"{first.folder} and {second.folder} differ in more than the seed: {', '.join(changes)}; compare two "
            "studies of the same settings"
        )
    rows = [_row(study) for study in (first, second)]
    difference = stats.welch_interval(rows[1]["retrained"], rows[0]["retrained"])
    values = {
        "studies": rows,
        "genotypes": {network: _best_genotypes(rows, network) for network in ("g", "d")},
        "operations": {network: _operations(first, second, network) for network in ("g", "d")},
        "retrained": {
            "each": [{source: _mean_sd_n(row[source]) for source in ("retrained", "random")} for row in rows],
            "difference": difference and [difference.value, difference.low, difference.high],
        },
    }
    agreement: dict[str, Any] = plain(values)
    return agreement


def _mean_sd_n(scores: Sequence[float]) -> tuple[float, float, int]:
    series = pd.Series(scores, dtype=float)
    return series.mean(), series.std(), len(series)


def _row(study: Study) -> dict[str, Any]:
    """Describes a study by its best trial. Raises UserError where no trial has a score."""
    if study.trials["fid_best"].notna().sum() == 0:
        raise UserError(f"{study.folder}: no trial has a score yet; wait until the study has ended")
    best, evaluations = study.best, study.evaluations
    own = evaluations[(evaluations["source"] == "retrain") & (evaluations["genotype_id"] == best["genotype_id"])]
    return {
        "folder": str(study.folder),
        "seed": study.studies["seed"].iloc[0],
        "trial": best["trial_id"],
        **best[["space", "relaxation", "fid_best"]],
        "choices": _choices(study, best["genotype_id"]),
        "image_size": study.studies["image_size"].iloc[0],
        "retrained": [*own["fid"].dropna()],
        "random": [*evaluations.loc[evaluations["source"] == "random", "fid"].dropna()],
    }


def _choices(study: Study, genotype_id: str) -> dict[str, str]:
    genotype = json.loads(study.genotypes.set_index("genotype_id").at[genotype_id, "genotype_json"])
    return {**genotype["generator"], **genotype["discriminator"]}


def _best_genotypes(rows: Sequence[dict[str, Any]], network: str) -> dict[str, Any]:
    """Counts the decisions that both best genotypes have, with the share answered alike, and the share by chance."""
    spaces = [{d.name: d.choices for d in load_space(row["space"]).decisions(row["image_size"])} for row in rows]
    shared = [name for name in spaces[0] if name[0] == network and spaces[0][name] == spaces[1].get(name)]
    answers = {
        "alike": [rows[0]["choices"][name] == rows[1]["choices"][name] for name in shared],
        "by_chance": [1 / len(spaces[0][name]) for name in shared],
    }
    return {"decisions": len(shared), **pd.DataFrame(answers, dtype=float).mean()}


def _operations(first: Study, second: Study, network: str) -> dict[str, Any] | None:
    """How far apart the studies' frequencies of choices are, beside those of the same genotypes dealt out at random.

    They count the genotypes that trials settled on, in spaces that both studies came to; None where there are none.
    """
    spaces = set(first.trials["space"].dropna()) & set(second.trials["space"].dropna())
    settled = [_frequencies(study, spaces, network) for study in (first, second)]
    if not all(map(len, settled)):
        return None
    pooled, cut = pd.concat(settled).fillna(0.0).to_numpy(), len(settled[0])

    def distance(order: np.ndarray) -> float:
        """Total variation between mean frequencies, each genotype counting alike."""
        return 0.5 * float(np.abs(pooled[order[:cut]].mean(axis=0) - pooled[order[cut:]].mean(axis=0)).sum())

    rng = np.random.default_rng(0)
    actual, dealt = distance(np.arange(len(pooled))), [distance(rng.permutation(len(pooled))) for _ in range(DEALS)]
    return {
        "genotypes": [len(side) for side in settled],
        "distance": actual,
        "dealt_mean": np.mean(dealt),
        "dealt_95": np.quantile(dealt, 0.95),
        "p": (1 + sum(value >= actual - 1e-12 for value in dealt)) / (1 + DEALS),
    }


def _frequencies(study: Study, spaces: set[str], network: str) -> pd.DataFrame:
    """Frequencies of a network's choices [genotype, choice]; NaN where a genotype has none of the kind."""
    trials = study.trials[study.trials["genotype_id"].notna() & study.trials["space"].isin(spaces)]
    labels = [
        pd.Series(
            choice if choice in OPERATIONS else f"{name.rsplit('.', 1)[1]}={choice}"  # "yes" says nothing by itself
            for name, choice in _choices(study, genotype_id).items()
            if name[0] == network
        )
        for genotype_id in trials["genotype_id"]
    ]
    return pd.DataFrame([series.value_counts(normalize=True) for series in labels if len(series)])


def markdown(agreement: dict[str, Any]) -> str:
    studies = pd.DataFrame(agreement["studies"])
    scores = {
        source: [
            f"{with_sd(mean, sd)} ({n})" if n else "-"
            for mean, sd, n in (each[source] for each in agreement["retrained"]["each"])
        ]
        for source in ("retrained", "random")
    }
    columns = {
        "study": [Path(folder).name for folder in studies["folder"]],
        "seed": studies["seed"],
        "best trial": studies["trial"],
        "space": studies["space"],
        "relaxation": studies["relaxation"].fillna("-"),
        "score in the search": [f"{fid:.4g}" for fid in studies["fid_best"]],
    }
    lines = [markdown_table(columns | scores), ""]
    for network in ("g", "d"):
        same, operations, name = agreement["genotypes"][network], agreement["operations"][network], network.upper()
        if same["decisions"]:
            lines.append(
                f"* {name}: the best genotypes answer {same['alike']:.0%} of {same['decisions']} common decisions "
                f"alike (two uniform ones: {same['by_chance']:.0%})"
            )
        else:
            lines.append(f"* {name}: the best genotypes have no decision in common")
        if operations:
            lines.append(
                f"* {name}: frequencies of choices are {operations['distance']:.2f} apart; the same genotypes dealt "
                f"out at random {operations['dealt_mean']:.2f} (95 % below {operations['dealt_95']:.2f}), "
                f"p = {operations['p']:.2g}"
            )
    if agreement["retrained"]["difference"]:
        value, low, high = agreement["retrained"]["difference"]
        interval = "" if low is None else f" ({low:+.3g} to {high:+.3g}, Welch 95 %)"
        lines.append(f"* retrained, second minus first: {value:+.3g}{interval}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
