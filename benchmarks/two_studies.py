"""How much do two studies with the same settings and different seeds agree: best genotype, operations, retrained score?

    python studies/run_study.py digits --name a --seed 0 && python studies/run_study.py digits --name b --seed 1
    for one in a b; do python studies/retrain.py results/$one --trial best --seeds 3; done
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
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import versus_stats as stats

from autogan_ray.base.errors import UserError
from autogan_ray.results.study_tables import Study, load_study
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.operations import OPERATIONS

DEALS = 2000
_FREE = ("seed", "name", "description", "study_id")
"""What two studies of a comparison may differ in."""

Choices = dict[str, str]


class _Mistake(click.ClickException):
    exit_code = 2


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("one", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of Markdown.")
def main(one: Path, other: Path, as_json: bool) -> None:
    """Compare the studies in folders ONE and OTHER."""
    try:
        found = compare(load_study(one), load_study(other))
    except UserError as error:
        raise _Mistake(str(error)) from error
    click.echo(json.dumps(found, indent=2) if as_json else markdown(found))


def compare(one: Study, other: Study) -> dict[str, Any]:
    """``studies``: a row each; ``genotypes``, ``operations``, ``retrained``: how they agree; None is unknown.

    Raises:
        UserError: settings differ, the seed apart, or one has no trial with a score.
    """
    _check_settings(one, other)
    rows = [_row(study) for study in (one, other)]
    return {
        "studies": rows,
        "genotypes": _best_genotypes(rows),
        "operations": {network: _operations(one, other, network) for network in ("g", "d")},
        "retrained": _retrained(rows),
    }


def _check_settings(one: Study, other: Study) -> None:
    left, right = (_flat(json.loads(study.studies["config_json"].iloc[0])) for study in (one, other))
    differing = sorted(
        key for key in left.keys() | right.keys() if key not in _FREE and left.get(key) != right.get(key)
    )
    if differing:
        raise UserError(
            f"{one.folder} and {other.folder} differ in more than the seed: {', '.join(differing)}; compare two "
            "studies of the same settings"
        )


def _flat(values: Mapping[str, Any], lead: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{lead}{key}.") if isinstance(value, dict) else {f"{lead}{key}": value}
    return flat


def _row(study: Study) -> dict[str, Any]:
    if study.trials["fid_best"].notna().sum() == 0:
        raise UserError(f"{study.folder}: no trial has a score yet; wait until the study has ended")
    best = study.best
    evaluations = study.evaluations
    own = evaluations[(evaluations["source"] == "retrain") & (evaluations["genotype_id"] == best["genotype_id"])]
    return {
        "folder": str(study.folder),
        "seed": int(study.studies["seed"].iloc[0]),
        "trial": best["trial_id"],
        "space": best["space"],
        "relaxation": best["relaxation"],
        "fid_best": float(best["fid_best"]),
        "choices": _choices(study, best["genotype_id"]),
        "image_size": int(study.studies["image_size"].iloc[0]),
        "retrained": [float(fid) for fid in own["fid"]],
        "random": [float(fid) for fid in evaluations.loc[evaluations["source"] == "random", "fid"]],
    }


def _choices(study: Study, genotype_id: str) -> Choices:
    table = study.genotypes
    found = json.loads(table.loc[table["genotype_id"] == genotype_id, "genotype_json"].iloc[0])
    return {**found["generator"], **found["discriminator"]}


def _best_genotypes(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """network -> decisions both best genotypes have, the share answered alike, and the share by chance."""
    found: dict[str, Any] = {}
    spaces = [{d.name: d.choices for d in load_space(row["space"]).decisions(row["image_size"])} for row in rows]
    for network in ("g", "d"):
        shared = [name for name in spaces[0] if name[0] == network and spaces[0][name] == spaces[1].get(name)]
        alike = [rows[0]["choices"][name] == rows[1]["choices"][name] for name in shared]
        found[network] = {
            "decisions": len(shared),
            "alike": float(np.mean(alike)) if shared else None,
            "by_chance": float(np.mean([1 / len(spaces[0][name]) for name in shared])) if shared else None,
        }
    return found


def _operations(one: Study, other: Study, network: str) -> dict[str, Any] | None:
    """Of the genotypes that trials settled on; only decisions of spaces that both studies came to."""
    spaces = set(one.trials["space"].dropna()) & set(other.trials["space"].dropna())
    settled = [_settled(study, spaces, network) for study in (one, other)]
    if not all(settled):
        return None
    pooled, cut = [*settled[0], *settled[1]], len(settled[0])
    rng = np.random.default_rng(0)
    dealt = []
    for _ in range(DEALS):
        order = rng.permutation(len(pooled))
        dealt.append(_distance([pooled[i] for i in order[:cut]], [pooled[i] for i in order[cut:]]))
    distance = _distance(*settled)
    return {
        "genotypes": [len(side) for side in settled],
        "distance": distance,
        "dealt_mean": float(np.mean(dealt)),
        "dealt_95": float(np.quantile(dealt, 0.95)),
        "p": (1 + sum(value >= distance - 1e-12 for value in dealt)) / (1 + DEALS),
    }


def _settled(study: Study, spaces: set[str], network: str) -> list[Counter[str]]:
    scored = study.trials[study.trials["genotype_id"].notna() & study.trials["space"].isin(spaces)]
    every = [_choices(study, genotype_id) for genotype_id in scored["genotype_id"]]
    counts = [
        Counter(
            choice if choice in OPERATIONS else f"{name.rsplit('.', 1)[1]}={choice}"  # "yes" says nothing by itself
            for name, choice in one.items()
            if name[0] == network
        )
        for one in every
    ]
    return [one for one in counts if one]


def _distance(one: Sequence[Counter[str]], other: Sequence[Counter[str]]) -> float:
    """Total variation between mean frequencies, each genotype counting alike."""
    total: defaultdict[str, float] = defaultdict(float)
    for sign, side in ((1.0, one), (-1.0, other)):
        for counts in side:
            for choice, count in counts.items():
                total[choice] += sign * count / counts.total() / len(side)
    return 0.5 * sum(abs(value) for value in total.values())


def _retrained(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    difference = stats.welch_interval(rows[1]["retrained"], rows[0]["retrained"])
    return {
        "each": [
            {source: [*stats.mean_sd(row[source]), len(row[source])] for source in ("retrained", "random")}
            for row in rows
        ],
        "difference": None if difference is None else [difference.value, difference.low, difference.high],
    }


def markdown(found: dict[str, Any]) -> str:
    lines = ["| study | seed | best trial | space | relaxation | score in the search | retrained | random |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for row, each in zip(found["studies"], found["retrained"]["each"], strict=True):
        cells = [Path(row["folder"]).name, row["seed"], row["trial"], row["space"], row["relaxation"],
                 f"{row['fid_best']:.4g}", _mean_sd(each["retrained"]), _mean_sd(each["random"])]  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines.append("")
    for name in ("G", "D"):
        same, operations = found["genotypes"][name.lower()], found["operations"][name.lower()]
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
    if found["retrained"]["difference"]:
        value, low, high = found["retrained"]["difference"]
        interval = "" if low is None else f" ({low:+.3g} to {high:+.3g}, Welch 95 %)"
        lines.append(f"* retrained, second minus first: {value:+.3g}{interval}")
    return "\n".join(lines)


def _mean_sd(found: Sequence[float | None]) -> str:
    mean, sd, n = found
    if mean is None:
        return "-"
    return f"{mean:.4g}" + ("" if sd is None else f" ± {sd:.2g}") + f" ({n})"


if __name__ == "__main__":
    sys.exit(main())
