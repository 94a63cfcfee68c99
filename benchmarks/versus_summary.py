"""From the files of a comparison to numbers: tables of networks and of searches, and what they say together.

Everything is computed from what is there: a comparison half done gives a report with smaller n.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import versus_stats as stats
from versus_plan import RANDOM, SEARCH, Network, Plan

from autogan_ray.results.decidedness import decidedness
from autogan_ray.spaces.part import Decision
from autogan_ray.spaces.space import SearchSpace

SIZES = ["params_g", "macs_g", "params_d", "macs_d"]
COUNTS = ["none_g", "none_d", "skip_g", "skip_d"]
_SECONDS = ["wall_s", "cpu_s"]
_SCORES = ["fid_derived", "fid_supernet"]
_NUMBERS = [*_SCORES, "entropy_g", "entropy_d", "leading"]
_SEARCH = ["arm", "seed", "evaluations", "evaluation", "diverged", "undecided", *_NUMBERS, "genotype", "genotype_id"]


def summarise(plan: Plan, out: Path) -> dict[str, Any]:
    """Reads all results that are there. None and NaN are unknown.

    Returns:
        ``searches``, ``networks``, ``arms``, ``decisions``, ``taus``, ``operations``: DataFrames. ``inherited``: search
        seed -> genotype id -> score with the weights of that search's supernet. ``spread``, ``cost``, ``commits``,
        ``plan``.
    """
    done = [(arm, seed, task.result(out)) for arm, seed, task in plan.searches()]
    searches = pd.DataFrame(
        [_search_row(plan, arm, seed, result) for arm, seed, result in done if result is not None],
        columns=[*_SEARCH, *_SECONDS, "commit"],
    ).astype(dict.fromkeys(_NUMBERS, float))
    networks = pd.DataFrame([_network_row(network, plan, out) for network in plan.networks(out)])
    networks = networks.astype(dict.fromkeys(["fid", *SIZES], float))
    scored = {seed: task.result(out) for seed, task in plan.inherited_scores(out).items()}
    inherited = {seed: result["fids"] for seed, result in scored.items() if result is not None}
    return {
        "plan": asdict(plan),
        "networks": networks,
        "searches": searches,
        "inherited": inherited,
        "arms": pd.DataFrame([_arm_row(arm, plan, networks) for arm in (RANDOM, *plan.studies, *plan.named)]),
        "decisions": pd.DataFrame([_decided_row(arm, plan, networks, searches) for arm in (RANDOM, *plan.studies)]),
        "taus": _taus(plan, networks, searches, inherited),
        "operations": _operations(plan, networks),
        "spread": {arm: stats.spread(_scores(_of(networks, arm))) for arm in (RANDOM, SEARCH)},
        "cost": _cost(networks, searches, "cpu_s" if plan.device == "cpu" else "wall_s"),
        "commits": sorted({*searches["commit"].dropna(), *networks["commit"].dropna()}),
    }


def _search_row(plan: Plan, arm: str, seed: int, result: Mapping[str, Any]) -> dict[str, Any]:
    records = result["records"]
    record = plan.picked(records)
    row = {"arm": arm, "seed": seed, "evaluations": len(records), "diverged": records[-1]["diverged"]}
    row |= {name: result[name] for name in (*_SECONDS, "commit")}
    if record is None:
        return row
    # A study may score the mixture at some evaluations only: the newest up to the picked one stands.
    mixtures = [earlier["fid_supernet"] for earlier in records if earlier["evaluation"] <= record["evaluation"]]
    decided = decidedness(record["decisions"])
    names = ("evaluation", "fid_derived", "entropy_g", "entropy_d", "genotype", "genotype_id")
    return row | {
        **{name: record[name] for name in names},
        "fid_supernet": next((fid for fid in reversed(mixtures) if fid is not None), None),
        "undecided": decided.undecided,
        "leading": decided.leading,
    }


def _network_row(network: Network, plan: Plan, out: Path) -> dict[str, Any]:
    """Describes a genotype with its scores by retraining seed; a retraining without a finite score is counted."""
    results = {task.settings["seed"]: task.result(out) for task in plan.retrainings(network)}
    done = {seed: result for seed, result in results.items() if result is not None}
    fids = {seed: result["row"]["fid"] for seed, result in done.items() if result["row"]["fid"] is not None}
    row: dict[str, Any] = {
        "arm": network.arm,
        "index": network.index,
        "genotype": network.genotype,
        "fids": fids,
        "fid": np.mean([*fids.values()]) if fids else None,
        "failed": len(done) - len(fids),
    }
    row |= {name: [result[name] for result in done.values() if not result["resumed"]] for name in _SECONDS}
    choices = network.genotype["generator"] | network.genotype["discriminator"]
    edges = [d for d in SearchSpace.from_dict(network.space).decisions(network.genotype["image_size"]) if d.edge]
    for side in ("g", "d"):
        taken = [(choices[d.name], d) for d in edges if d.network == side]
        row[f"none_{side}"] = sum(choice == d.no_connection for choice, d in taken)
        row[f"skip_{side}"] = sum(choice == d.identity for choice, d in taken)
    first: Mapping[str, Any] = next(iter(done.values()), {"row": {}})
    row |= {name: first["row"].get(name) for name in ("genotype_id", *SIZES)}
    return row | {"commit": first.get("commit")}


def _of(rows: pd.DataFrame, arm: str) -> pd.DataFrame:
    return rows[rows["arm"] == arm]


def _scores(networks: pd.DataFrame) -> pd.DataFrame:
    """Returns retrained scores [index of the network, retraining seed]; NaN where there is none."""
    return pd.DataFrame([*networks["fids"]], index=networks["index"], dtype=float)


def _choices(networks: pd.DataFrame) -> pd.DataFrame:
    """Returns choices [network, decision]."""
    return pd.DataFrame([genotype["generator"] | genotype["discriminator"] for genotype in networks["genotype"]])


def _decisions(plan: Plan, network: str) -> list[Decision]:
    decisions = SearchSpace.from_dict(plan.space).decisions(plan.measure["image_size"])
    return [decision for decision in decisions if decision.network == network]


def _uniform(decisions: list[Decision]) -> float | None:
    """Returns how often uniform draws give a choice that every decision offers; two draws agree as often."""
    return float(np.mean([1 / len(decision.choices) for decision in decisions])) if decisions else None


def _arm_row(arm: str, plan: Plan, networks: pd.DataFrame) -> dict[str, Any]:
    """Compares the scores of an arm with random: by pairs for searches, as two samples for a named genotype."""
    rows, random = _of(networks, arm), _of(networks, RANDOM)
    scores, fids = _scores(rows), rows["fid"].dropna()
    sample = scores.iloc[0].dropna() if arm in plan.named else fids  # one genotype: its seeds are the sample
    row = {"arm": arm, "changes": plan.changes.get(arm, ""), "n": len(fids), "failed": rows["failed"].sum()}
    row |= {"mean": sample.mean(), "sd": sample.std(), "median": sample.median(), "best": sample.min()}
    row |= rows[SIZES].mean()
    row |= {"how": None, "pairs": [], "difference": None, "bootstrap": None, "better": None}
    if arm in plan.named:
        others = random["fid"].dropna()
        row |= {"how": "welch", "better": (others > sample.mean()).mean() if len(sample) else None}
        row |= {"difference": stats.welch_interval(sample, others)}
        row |= {"bootstrap": stats.bootstrap_difference(sample, others)}
    elif arm != RANDOM:  # the same retraining seeds on both sides: the same batches, the same noise
        pairs = (scores - _scores(random)).mean(axis=1).dropna()
        row |= {"how": "paired", "pairs": [*pairs], "better": (pairs < 0).mean()}
        row |= {"difference": stats.paired_interval(pairs), "bootstrap": stats.bootstrap_mean(pairs)}
    return row


def _decided_row(arm: str, plan: Plan, networks: pd.DataFrame, searches: pd.DataFrame) -> dict[str, Any]:
    """Says how decided an arm's searches were, and how far two of them agree; random genotypes are the yardstick."""
    rows, own = _of(networks, arm), _of(searches, arm)
    sound, choices = own.dropna(subset="genotype"), _choices(rows)
    row = {"arm": arm, "n": len(rows), "diverged": own["diverged"].sum(), **rows[COUNTS].mean()}
    row |= {name: (sound[name].mean(), sound[name].std()) for name in ("entropy_g", "entropy_d", "leading")}
    row |= {"undecided": sound["undecided"].sum() if len(sound) else None}
    for network in ("g", "d"):
        row[f"agreement_{network}"] = stats.agreement(choices.filter(regex=rf"^{network}\."))
        row[f"uniform_{network}"] = _uniform(_decisions(plan, network))
    return row


def _taus(
    plan: Plan, networks: pd.DataFrame, searches: pd.DataFrame, inherited: Mapping[int, Mapping[str, float]]
) -> pd.DataFrame:
    """Correlates ranks with the retrained score: of a search's own scores, of inherited weights', of sizes."""
    own = searches[["arm", "seed", *_SCORES]].rename(columns={"seed": "index"})
    points = networks.merge(own, how="left", on=["arm", "index"])
    by_supernet = {f"inherited weights, search {seed}": fids for seed, fids in inherited.items()}
    points = points.assign(**{name: points["genotype_id"].map(fids) for name, fids in by_supernet.items()})
    arms = {arm: _of(points, arm) for arm in plan.studies}
    if len(arms) > 1:
        arms["all searches"] = points[points["arm"].isin([*plan.studies])]
    random = {RANDOM: _of(points, RANDOM)}
    everything = {"searches and random": points[~points["arm"].isin([*plan.named])]}
    groups = [(score, arms) for score in _SCORES] + [(score, everything | random) for score in by_supernet]
    groups += [(size, random | arms | everything) for size in ("macs_g", "params_g", "macs_d")]
    return pd.DataFrame(
        {"score": score, "over": over, **asdict(stats.kendall(rows[score], rows["fid"]))}
        for score, rows_of in groups
        for over, rows in rows_of.items()
    )


def _operations(plan: Plan, networks: pd.DataFrame) -> pd.DataFrame:
    """Counts how often each choice was taken, as a share of the decisions that offer it; ``chance`` is one draw's."""
    chosen = {arm: _choices(_of(networks, arm)) for arm in (RANDOM, *plan.studies)}
    lines = []
    for network in ("g", "d"):
        decisions = _decisions(plan, network)
        for choice in dict.fromkeys(choice for decision in decisions for choice in decision.choices):
            offering = [decision for decision in decisions if choice in decision.choices]
            names = [decision.name for decision in offering]
            line = {"network": network, "choice": choice, "decisions": len(offering), "chance": _uniform(offering)}
            shares = {arm: (taken[names] == choice).to_numpy().mean() for arm, taken in chosen.items() if len(taken)}
            lines.append(line | dict.fromkeys(chosen) | shares)
    return pd.DataFrame(lines)


def _cost(networks: pd.DataFrame, searches: pd.DataFrame, clock: str) -> dict[str, Any]:
    """Returns mean seconds of a job, and the best of as many random networks as a search and its retraining cost.

    Args:
        clock: which seconds count. A processor's own do not grow where it is shared with others; a GPU has none.
    """
    jobs = {str(arm): rows[_SECONDS] for arm, rows in searches.groupby("arm", sort=False)}
    jobs["retrain"] = networks[_SECONDS].explode(_SECONDS).dropna().astype(float)
    cost: dict[str, Any] = {
        name: {**seconds.mean(), "count": len(seconds), **seconds.sum().add_prefix("total_")}
        for name, seconds in jobs.items()
    }
    ratio = cost[SEARCH][clock] / cost["retrain"][clock] if SEARCH in cost else None
    m = 1 if pd.isna(ratio) else 1 + round(ratio)
    best = stats.best_of(_scores(_of(networks, RANDOM)), m)
    return cost | {"retrainings_a_search": ratio, "same_cost": {"m": m, "best": best}}
